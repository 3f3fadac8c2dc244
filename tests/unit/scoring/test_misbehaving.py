"""Reward functions that exit, crash, print, fork or edit what they are given: real processes, each bounded in time."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest
from pebble.pool.process import PoolManager

from grpo_plugin.errors import RewardError
from grpo_plugin.scoring import RewardSet
from grpo_plugin.scoring.side_effects import private_copy
from tests.unit.scoring.scored import FOLDER, score, scored

Loader = Callable[..., RewardSet]


def entry(name: str, **more: object) -> dict[str, object]:
    return {"function": f"misbehaving.py:{name}", **more}


@pytest.mark.parametrize("workers", [0, 1])
def test_sys_exit_is_an_error_with_reward_completion_and_batch(loaded: Loader, workers: int) -> None:
    rewards = loaded(entry("exits"), workers=workers)
    assert score(rewards, ["a", "bb"]) == [[1.0, 0.0]]
    with pytest.raises(RewardError) as error:
        score(rewards, ["a", "exit"])
    for part in ("(misbehaving.py:exits)", "raised SystemExit", "completion 1 of 2, 'exit'", "batch 2 of this process"):
        assert part in str(error.value)


def test_sys_exit_in_a_call_for_the_whole_batch(loaded: Loader) -> None:
    rewards = loaded(entry("exits_later"))
    score(rewards, ["a"])
    with pytest.raises(RewardError, match=r"exits_later\): raised SystemExit.*\(batch 2 of this process\)"):
        score(rewards, ["a"])


def test_sys_exit_while_it_is_seen_how_a_function_scores(loaded: Loader) -> None:
    """Before its first batch a function is tried on a few completions; what fails there is not passed over."""
    with pytest.raises(RewardError, match=r"raised SystemExit: .* on completion 1 of 6.*\(batch 1 of this process\)"):
        score(loaded(entry("exits_later"), workers=1), ["a"] * 6)


def test_a_trainer_stopped_by_a_signal_in_a_reward_is_stopped(loaded: Loader) -> None:
    """The run's handlers raise SystemExit(143) wherever the trainer is; that is no failure of the reward."""

    def stop(*_: object) -> None:
        raise SystemExit(143)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        with pytest.raises(SystemExit):
            score(loaded({"function": "grading.py:kills_itself"}), ["a"])
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_module_that_exits_when_it_is_imported(loaded: Loader, tmp_path: Path) -> None:
    (tmp_path / "leaving.py").write_text("import sys\nsys.exit(0)\n")
    with pytest.raises(RewardError, match=r"importing .*leaving.py:reward' failed: SystemExit: 0"):
        loaded({"function": f"{tmp_path}/leaving.py:reward"})


@pytest.mark.parametrize(("name", "text", "code"), [("dies_quietly", "exit", "0"), ("segfaults", "crash", "-11")])
def test_the_end_of_a_worker_costs_one_completion(loaded: Loader, name: str, text: str, code: str) -> None:
    began = time.monotonic()
    judged = scored(loaded(entry(name), workers=1, max_failed=0.5, timeout=60.0), ["a", text, "bb", "ccc"])
    assert judged.by_function == [[1.0, None, 0.0, 1.0]]
    assert f"ended its worker process (exit code {code};" in judged.failures[name][1]
    assert judged.metrics == {f"rewards/{name}/failed": 0.25}
    assert time.monotonic() - began < 50  # seen by its end, not by the time limit


def test_a_pool_that_breaks_down_costs_no_completion(loaded: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pebble gives up all work when a worker dies before it was known which work it had."""
    rewards = loaded(entry("segfaults"), workers=1, max_failed=0.5, timeout=60.0)
    score(rewards, ["a"])
    seen = PoolManager.find_expired_task
    broken: list[int] = []

    def find(manager: PoolManager, worker: int) -> object:
        if not broken:
            broken.append(worker)
            raise BrokenProcessPool("All workers expired")
        return seen(manager, worker)

    monkeypatch.setattr(PoolManager, "find_expired_task", find)
    assert score(rewards, ["a", "crash", "bb", "ccc"]) == [[1.0, None, 0.0, 1.0]]
    assert broken


def test_too_many_ends_stop_the_batch_before_all_workers_were_lost(loaded: Loader) -> None:
    rewards = loaded(entry("dies_often"), workers=1, timeout=60.0, max_failed=0.02)
    with pytest.raises(RewardError, match=r"more than rewards.max_failed \(0.02\) allows; the first: .*exit code 0"):
        score(rewards, ["first"] + ["a"] * 100)


def test_cheap_functions_stay_in_the_workers(loaded: Loader) -> None:
    rewards = loaded("process", entry("segfaults"), workers=1, max_failed=0.5)
    for _ in range(3):
        assert float(os.getpid()) not in score(rewards, ["a"] * 64)[0]
    assert rewards.places() == {"process": "workers", "segfaults": "workers"}
    assert score(rewards, ["a", "crash"])[1] == [1.0, None]


def test_no_score_for_any_completion_stops(loaded: Loader) -> None:
    with pytest.raises(RewardError, match="forgets_to_return returned None for all of the last 2 completions"):
        score(loaded(entry("forgets_to_return")), ["a", "b"])
    rewards = loaded(entry("forgets_to_return"), "length")
    assert score(rewards, ["a", "bb"]) == [[None, None], [1.0, 2.0]]


def test_a_batch_without_a_score_is_no_error_after_one_with_some_but_many_are(loaded: Loader) -> None:
    rewards = loaded(entry("abstains"))
    score(rewards, ["good", "b"])
    assert score(rewards, ["a"] * 200) == [[None] * 200]
    score(rewards, ["good"])
    score(rewards, ["a"] * 200)
    with pytest.raises(RewardError, match="None for all of the last 300 completions"):
        score(rewards, ["a"] * 100)


@pytest.mark.parametrize("workers", [0, 1])
def test_what_functions_get_is_theirs_alone(loaded: Loader, workers: int) -> None:
    options: dict[str, int] = {}
    edits = entry("edits_its_input", kwargs={"options": options}, whole_batch=True)
    rewards = loaded(edits, "length", workers=workers)
    prompts = [[{"role": "user", "content": "q"}], [{"role": "user", "content": "r"}]]
    ids, tags = [[1, 2, 3], [4]], [["x"], []]
    completions = ["a", "bb"]
    for _ in range(2):
        judged = rewards.score(prompts, completions, ids, {"tags": tags})
        assert judged.by_function == [[4.0, 2.0], [1.0, 2.0]]
    assert (ids, tags, completions) == ([[1, 2, 3], [4]], [["x"], []], ["a", "bb"])
    assert prompts[0] == [{"role": "user", "content": "q"}]


def test_private_copy_shares_no_container() -> None:
    inner = object()
    value = {"a": [[1, 2], ("x", [3])], "b": {4}, "c": inner, "d": [True, None, "t"]}
    copy = private_copy(value)
    assert copy == value
    assert copy["c"] is inner
    assert copy["a"][0] is not value["a"][0] and copy["a"][1][1] is not value["a"][1][1]  # type: ignore[index]
    assert copy["b"] is not value["b"] and copy["d"] is not value["d"]


@pytest.mark.parametrize("workers", [0, 1])
def test_the_working_directory_is_restored(loaded: Loader, workers: int) -> None:
    here = str(Path.cwd())
    rewards = loaded(entry("moves_away"), entry("where"), workers=workers)
    for _ in range(2):
        assert score(rewards, [here]) == [[float(len(here) % 2)], [1.0]]
    assert str(Path.cwd()) == here


def test_a_module_that_changes_the_working_directory(loaded: Loader, tmp_path: Path) -> None:
    (tmp_path / "moving.py").write_text("import os\nos.chdir('/')\ndef reward(completions): return [1.0]\n")
    before = Path.cwd()
    assert score(loaded({"function": f"{tmp_path}/moving.py:reward"}), ["a"]) == [[1.0]]
    assert Path.cwd() == before


def test_a_fork_in_a_reward_does_no_harm(loaded: Loader) -> None:
    rewards = loaded(entry("forks"), workers=1)
    for _ in range(2):
        assert score(rewards, ["a", "bb", "ccc"]) == [[1.0, 0.0, 1.0]]


SCORE = """
import os, sys
from pathlib import Path
from grpo_plugin.config.rewards import RewardsConfig
from grpo_plugin.scoring import load

block = {{"functions": [{{"function": "misbehaving.py:{name}"}}], "workers": {workers}}}
rewards = load(RewardsConfig.parse("rewards", block), Path({folder!r}))
text = {text!r}
print(rewards.score([""], [text], [[1]], {{}}).by_function, flush=True)
{ending}
"""


def run(
    name: str, text: str, *, workers: int = 1, ending: str = "rewards.close()"
) -> "subprocess.CompletedProcess[str]":
    script = SCORE.format(name=name, workers=workers, folder=str(FOLDER), text=text, ending=ending)
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize(("name", "workers"), [("talks", 1), ("prints", 0)])
def test_what_rewards_print_is_bounded_said_and_kept_off_standard_output(name: str, workers: int) -> None:
    done = run(name, "a", workers=workers)
    assert done.stdout == "[[1.0]]\n", done.stderr[-2000:]
    assert 2**20 <= len(done.stderr) < 2**20 + 4096
    assert "printed more than 1 MiB in this process; the rest is left out" in done.stderr


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.parametrize("kind", ["exec", "fork"])
@pytest.mark.parametrize("ending", ["rewards.close()", "os.kill(os.getpid(), 9)", "sys.exit()"])
def test_what_a_reward_left_running_ends_with_the_run(tmp_path: Path, kind: str, ending: str) -> None:
    """When the pool is closed, when the trainer is killed, and when it ends without closing the pool."""
    pids = tmp_path / f"{kind}.pids"
    done = run("leaves_a_daemon", str(pids), ending=ending)
    assert "[[" in done.stdout, done.stderr
    left = [int(pid) for pid in pids.read_text().split()]
    assert len(left) >= 2
    deadline = time.monotonic() + 20
    while any(map(alive, left)) and time.monotonic() < deadline:
        time.sleep(0.1)
    survivors = [pid for pid in left if alive(pid)]
    for pid in survivors:
        os.kill(pid, signal.SIGKILL)
    assert not survivors


def test_numbers_in_tensors_are_scores_and_bytes_are_not(loaded: Loader) -> None:
    rewards = loaded(entry("tensors"))
    assert score(rewards, ["torch", "numpy", "one"]) == [[0.5, 0.25, 0.75]]
    with pytest.raises(RewardError, match=r"returned tensor\(\[1., 1.\]\) \(Tensor\)"):
        score(rewards, ["two"])
    with pytest.raises(RewardError, match="returned a bytes; a reward returns a list"):
        score(loaded(entry("raw_bytes")), ["a"])
