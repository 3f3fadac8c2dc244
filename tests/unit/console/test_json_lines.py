import json
import math

import pytest

from grpo_plugin.console.json_lines import JsonLines
from tests.small_disk import fill, small_disk


def test_rows_come_back_in_order_and_numbers_that_json_lacks_are_null(tmp_path):
    log = JsonLines(tmp_path / "out" / "metrics.jsonl")
    assert log.read() == []
    log.append({"step": 1, "loss": math.nan, "name": "ü"})
    log.append({"step": 2, "loss": -math.inf})
    assert log.read() == [{"step": 1, "loss": None, "name": "ü"}, {"step": 2, "loss": None}]
    for line in log.path.read_text().splitlines():
        json.loads(line, parse_constant=lambda name: 1 / 0)


def test_a_line_that_a_killed_process_left_is_skipped_and_then_gone(tmp_path):
    log = JsonLines(tmp_path / "metrics.jsonl")
    log.append({"step": 1})
    with log.path.open("a") as file:
        file.write('{"step": 2, "lo')
    assert log.read() == [{"step": 1}]
    log.keep_until(5)
    log.append({"step": 2})
    assert log.read() == [{"step": 1}, {"step": 2}]


def test_a_resumed_run_writes_its_steps_again(tmp_path):
    log = JsonLines(tmp_path / "metrics.jsonl")
    assert log.keep_until(3) == [] and not log.path.exists()
    for step in range(1, 6):
        log.append({"step": step})
    assert log.keep_until(3) == [{"step": 1}, {"step": 2}, {"step": 3}]
    assert [row["step"] for row in log.read()] == [1, 2, 3]


def test_a_row_that_a_full_disk_takes_in_part_is_an_error_and_is_not_there(tmp_path):
    with small_disk(tmp_path / "disk", 0.1) as disk:
        log = JsonLines(disk / "metrics.jsonl")
        log.append({"step": 1})
        fill(disk)
        with pytest.raises(OSError, match="No space left on device"):
            log.append({"step": 2, "name": "x" * 8192})
        (disk / "filler").unlink()
        log.append({"step": 3})
        assert log.read() == [{"step": 1}, {"step": 3}]
