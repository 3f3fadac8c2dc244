import io
import json

import pytest

from grpo_plugin.console.failure import report_failure
from grpo_plugin.errors import RolloutError


def reported(call, tmp_path):
    """What the user sees and what debug.log keeps when `call` raises."""
    console, log = io.StringIO(), tmp_path / "debug.log"
    with pytest.raises(BaseException) as caught:
        call()
    report_failure(console, caught.value, tmp_path)
    return console.getvalue().splitlines(), log.read_text()


def test_our_errors_are_one_line(tmp_path):
    def fail():
        raise RolloutError("rollout.max_logp_gap: gap 0.3\n  is over 0.1; check the tokenizer.") from OSError("socket")

    lines, log = reported(fail, tmp_path)
    assert lines == ["error: rollout.max_logp_gap: gap 0.3 is over 0.1; check the tokenizer."]
    assert "Traceback" in log
    assert "OSError: socket" in log


def test_other_errors_name_the_user_s_frames(tmp_path):
    def grade():
        return json.loads("no json")

    lines, log = reported(grade, tmp_path)
    assert lines[0] == "error: JSONDecodeError: Expecting value: line 1 column 1 (char 0)"
    assert lines[-2].endswith('in grade: return json.loads("no json")')
    assert "test_failure.py:" in lines[-2]
    assert not any("decoder.py" in line for line in lines)
    assert lines[-1] == f"  full traceback in {tmp_path / 'debug.log'}"
    assert "decoder.py" in log


def test_at_most_three_frames_and_an_error_without_message(tmp_path):
    def deep(level):
        if level == 0:
            raise AssertionError
        deep(level - 1)

    lines, _ = reported(lambda: deep(9), tmp_path)
    assert lines[0] == "error: AssertionError"
    assert len(lines) == 5
    assert all("in deep" in line for line in lines[1:4])


def test_an_interrupt_is_no_error(tmp_path):
    def stop():
        raise KeyboardInterrupt

    lines, _ = reported(stop, tmp_path)
    assert lines == ["interrupted"]


def test_a_library_s_endless_message_is_cut(tmp_path):
    def fail():
        raise RuntimeError("CUDA error\n" * 1000)

    lines, log = reported(fail, tmp_path)
    assert len(lines[0]) < 550
    assert log.count("CUDA error\n") == 1000
