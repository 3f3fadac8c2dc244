"""Real worker processes: each test bounds its time, and none leaves a process."""

import multiprocessing
import os
import threading
import time
from collections.abc import Callable

import pytest

from grpo_plugin.errors import RewardError
from grpo_plugin.scoring import RewardSet
from tests.unit.scoring.scored import score, scored

Loader = Callable[..., RewardSet]

LIMITS = {"workers": 2, "timeout": 1.0, "max_failed": 0.5}


def test_a_bad_completion_costs_itself_alone(loaded: Loader) -> None:
    rewards = loaded("naughty", **LIMITS)
    texts = ["a", "exit", "bb", "segfault", "ccc", "memory", "dddd", "regex"]
    judged = scored(rewards, texts)
    assert judged.by_function == [[1.0, None, 2.0, None, 3.0, None, 4.0, None]]
    failures = judged.failures["naughty"]
    assert sorted(failures) == [1, 3, 5, 7]
    assert "rewards.functions[0] (grading.py:naughty): ended its worker process (exit code 3" in failures[1]
    assert "completion 1 of 8, 'exit'" in failures[1]
    assert "took longer than rewards.timeout (1 s)" in failures[7]


def test_the_time_limit_ends_the_work_and_the_pool_lives_on(loaded: Loader) -> None:
    before = set(multiprocessing.active_children())
    rewards = loaded("naughty", **LIMITS)
    assert score(rewards, ["hang", "a"]) == [[None, 1.0]]
    assert score(rewards, ["a", "bb"]) == [[1.0, 2.0]]
    assert len(set(multiprocessing.active_children()) - before) <= 2


def test_a_batch_has_a_time_limit_too(loaded: Loader) -> None:
    rewards = loaded("naughty", workers=1, timeout=30.0, batch_timeout=2.0, max_failed=1.0)
    score(rewards, ["a"])
    began = time.monotonic()
    assert score(rewards, ["a", "hang", "b"])[0][:2] == [1.0, None]
    assert time.monotonic() - began < 10


def test_a_broken_grader_stops_the_run_from_a_worker_too(loaded: Loader) -> None:
    with pytest.raises(RewardError, match="ValueError: no idea on completion 1 of 3"):
        score(loaded("naughty", **LIMITS), ["a", "raise", "b"])


def test_all_workers_share_costly_work(loaded: Loader) -> None:
    judged = scored(loaded("steady", **(LIMITS | {"timeout": 10.0})), ["a"] * 128)
    assert len(set(judged.by_function[0])) == 2
    assert float(os.getpid()) not in judged.by_function[0]
    assert judged.seconds is not None
    assert len(judged.seconds) == 128 and min(judged.seconds) >= 0.005


def test_a_function_runs_in_the_trainer_where_the_recipe_says_so(loaded: Loader) -> None:
    rewards = loaded({"function": "grading.py:process", "run": "trainer"}, "steady", **LIMITS)
    assert rewards.places() == {"process": "trainer", "steady": "workers"}
    assert score(rewards, ["a"])[0] == [float(os.getpid())]


def test_from_any_thread(loaded: Loader) -> None:
    rewards = loaded("naughty", **LIMITS)
    score(rewards, ["a"] * 128)
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(score(rewards, ["a", "hang", "b"]))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == [[[1.0, None, 1.0]]] * 2


def test_functions_that_compare_completions_are_given_whole_batches(
    loaded: Loader, caplog: pytest.LogCaptureFixture
) -> None:
    rewards = loaded("above_mean", **LIMITS)
    assert score(rewards, ["a", "bb", "ccc"]) == [[-1.0, 0.0, 1.0]]
    assert "differently together and one by one" in caplog.text
    assert score(rewards, ["a", "ccc"]) == [[-1.0, 1.0]]


def test_workers_see_no_gpu_and_run_no_main_of_ours(loaded: Loader) -> None:
    entry = {"function": "grading.py:surroundings", "run": "workers"}
    assert score(loaded(entry, **LIMITS), ["CUDA_VISIBLE_DEVICES", "__main__"]) == [[0.0, 0.0]]


def test_async_failures_cost_themselves_alone(loaded: Loader) -> None:
    rewards = loaded("judge", on_error="exclude", max_failed=0.5, timeout=0.5, batch_timeout=1.0)
    assert score(rewards, ["a", "raise", "ccc"]) == [[1.0, None, 3.0]]
    assert score(rewards, ["a", "hang", "ccc"]) == [[1.0, None, 3.0]]


def test_closing_ends_all_processes(loaded: Loader) -> None:
    before = set(multiprocessing.active_children())
    rewards = loaded("steady", **LIMITS)
    score(rewards, ["a"] * 4)
    assert len(set(multiprocessing.active_children()) - before) == 2
    rewards.close()
    assert not set(multiprocessing.active_children()) - before
    rewards.close()
