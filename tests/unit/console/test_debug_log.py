import os
import time

import pytest

from grpo_plugin.console import debug_log
from grpo_plugin.console.debug_log import DebugLog
from grpo_plugin.errors import RecipeError
from tests.small_disk import fill, small_disk


def test_a_new_run_empties_the_log_and_a_resumed_one_appends(tmp_path):
    log = DebugLog(tmp_path / "out")
    for append, text in ((False, b"first\n"), (True, b"second\n")):
        descriptor = log.open(append=append)
        os.write(descriptor, text)
        os.close(descriptor)
    assert log.path.read_text() == "first\nsecond\n"
    os.close(log.open(append=False))
    assert log.path.read_text() == ""


def test_the_log_of_an_endless_talker_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(debug_log, "BOUND", 1000)
    log = DebugLog(tmp_path)
    writer = log.open(append=False)
    for number in range(100):
        os.write(writer, f"{number:03d} {'x' * 95}\n".encode())  # 100 bytes
        log.keep_bounded()
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 2 * 1000 + 100
    os.close(writer)
    lines = (log.earlier.read_text() + log.path.read_text()).splitlines()
    numbers = [int(line.split()[0]) for line in lines]
    assert numbers == list(range(numbers[0], 100)), "the newest lines are there, none of them twice"
    assert len(numbers) >= 10


def test_a_run_that_no_launcher_watches_bounds_its_log_itself(tmp_path, monkeypatch):
    monkeypatch.setattr(debug_log, "BOUND", 1000)
    monkeypatch.setattr(debug_log.time, "sleep", lambda seconds, wait=time.sleep: wait(0.01))
    log = DebugLog(tmp_path)
    os.close(log.open(append=False))
    log.path.write_text("x" * 5000)
    log.keep_bounded_in_background()
    deadline = time.monotonic() + 20
    while log.path.stat().st_size:
        assert time.monotonic() < deadline
    assert log.earlier.stat().st_size == 5000


def test_a_small_log_stays_one_file(tmp_path):
    log = DebugLog(tmp_path)
    os.close(log.open(append=False))
    log.path.write_text("short\n")
    log.keep_bounded()
    assert [path.name for path in tmp_path.iterdir()] == ["debug.log"]
    assert DebugLog(tmp_path / "nowhere").keep_bounded() is None


def test_an_output_dir_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RecipeError, match=r"'.*/file/out' cannot be written \(Not a directory\); free space"):
        DebugLog(tmp_path / "file" / "out").open(append=False)


@pytest.mark.parametrize(("options", "reason"), [((), "No space left on device"), (("ro",), "Read-only file system")])
def test_a_disk_that_is_full_or_read_only_is_one_sentence_before_anything_starts(tmp_path, options, reason):
    with small_disk(tmp_path / "out", 0.1, *options) as out:
        if not options:
            fill(out)
        with pytest.raises(RecipeError, match=rf"'.*/out' cannot be written \({reason}\); free space, or name another"):
            DebugLog(out).open(append=False)


def test_the_ending_of_a_log_for_the_screen(tmp_path):
    log = DebugLog(tmp_path)
    assert log.ending() == f"the end of {log.path}:\n"
    log.path.write_text("\n".join([f"line {number}\n" for number in range(30)]))
    assert log.ending(lines=2) == f"the end of {log.path}:\nline 28\nline 29"
