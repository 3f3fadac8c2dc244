import errno
import io
import json
import os
import shutil
from collections import namedtuple

import pytest

from grpo_plugin.console.failure import full_disk, report_failure
from grpo_plugin.errors import RolloutError
from tests.small_disk import fill, small_disk


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


def test_a_full_disk_is_one_sentence_that_names_what_is_whole(tmp_path, monkeypatch):
    full = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: full(0 if folder == tmp_path else 10**9))

    def fail():
        raise RuntimeError("[enforce fail at inline_container.cc:664] . PytorchStreamWriter failed writing file data/0")

    def fail_later():
        try:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise ValueError("could not save") from error

    def fail_at_the_end():
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 2855680 vs 2855568")

    for failing in (fail, fail_later, fail_at_the_end):
        (line,), log = reported(failing, tmp_path)
        assert line == (
            f"error: no space left on the disk of {tmp_path}; no checkpoint is whole. "
            "Free space, or set save_total_limit."
        )
        assert "Traceback" in log
    for step in (5, 10):
        (tmp_path / f"checkpoint-{step}").mkdir()
    (tmp_path / "checkpoint-5" / "trainer_state.json").write_text("{}")
    (line,), _ = reported(fail, tmp_path)
    assert f"{tmp_path / 'checkpoint-5'} is whole." in line
    assert line.endswith(", then give the same command with --auto-resume-from-checkpoints.")


def test_a_run_that_ended_without_a_word_on_a_full_disk(tmp_path):
    with small_disk(tmp_path / "out", 1) as out:
        assert full_disk(out) is None
        fill(out)
        assert full_disk(out) == (
            f"no space left on the disk of {out}; no checkpoint is whole. Free space, or set save_total_limit."
        )


def test_the_sentence_comes_also_where_the_log_cannot_be_written(tmp_path):
    console = io.StringIO()
    report_failure(console, RolloutError("vLLM ended."), tmp_path / "nowhere")
    assert console.getvalue() == "error: vLLM ended.\n"
