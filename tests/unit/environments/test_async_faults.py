"""Async code of users that exits, is cancelled or returns what cannot be shown: the run's event loop goes on."""

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from grpo_plugin.environments.limits import Limits
from grpo_plugin.errors import EpisodeError
from grpo_plugin.scoring.async_loop import wait_for, wait_for_each
from tests.unit.environments.chat import call, turn
from tests.unit.environments.test_episode import END, make

HERE = "tests.unit.environments.test_async_faults"


class Mute(Exception):
    def __str__(self):
        raise ValueError("no words")


class Rude:
    """Its async methods leave in every way but a return."""

    async def reset(self, leave=""):
        self.moves = 0
        await asyncio.sleep(0)
        _leave(leave)

    async def go(self, how: str) -> object:
        """
        Leave.

        Args:
            how: In which way.
        """
        await asyncio.sleep(0)
        return _leave(how)


def _leave(how):
    if how == "exit":
        sys.exit(3)
    if how == "interrupt":
        raise KeyboardInterrupt
    if how == "cancel":
        raise asyncio.CancelledError
    if how == "raise mute":
        raise Mute
    return Mute() if how == "mute" else how


def go(how):
    return call("go", f'{{"how": "{how}"}}') + END


def within(seconds, function, *arguments):
    """What the function returns, in a thread that a hang costs, not the test run."""
    pool = ThreadPoolExecutor(1)
    try:
        return pool.submit(function, *arguments).result(seconds)
    finally:
        pool.shutdown(wait=False)


def in_the_run_s_loop(episode, *texts):
    async def run():
        await episode.begin()
        async with asyncio.TaskGroup() as group:  # as the rollout engine plays episodes
            group.create_task(turns(episode, texts))

    within(30, wait_for, run(), None)


async def turns(episode, texts):
    for text in texts:
        await episode.add_turn(turn(text))


def test_an_async_tool_that_leaves_is_a_failed_call(tmp_path):
    _, episode = make(tmp_path, {}, Limits(9000), factory=f"{HERE}.Rude")
    leaving = [go(how) for how in ("exit", "interrupt", "cancel", "mute", "raise mute", "so")]
    in_the_run_s_loop(episode, *leaving, "Done." + END)
    assert [message["content"] for message in episode.messages[1::2]] == [
        "{'error': '3'}",
        "{'error': 'KeyboardInterrupt'}",
        "{'error': 'The call was cancelled.'}",
        "{'error': 'no words'}",
        "{'error': 'Mute'}",
        "so",
    ]
    assert episode.done and episode.turns == 7 and dict(episode.failures) == {"exception": 5}


@pytest.mark.parametrize(("how", "described"), [("exit", "SystemExit: 3"), ("cancel", r"The call was cancelled\.")])
def test_an_async_reset_that_leaves_names_its_row(tmp_path, how, described):
    _, episode = make(tmp_path, {"leave": how}, factory=f"{HERE}.Rude")
    with pytest.raises(EpisodeError, match=rf"Rude\.reset\(\) failed on row 7 \({described}\)"):
        in_the_run_s_loop(episode)


async def exits():
    await asyncio.sleep(0)
    sys.exit(3)


async def starts_a_task_that_exits():
    await asyncio.create_task(exits())


@pytest.mark.parametrize("leaving", [exits, starts_a_task_that_exits])
def test_what_exits_in_the_loop_is_an_error_where_it_is_waited_for(leaving):
    with pytest.raises(SystemExit):
        within(30, wait_for, leaving(), None)
    with pytest.raises(SystemExit):
        within(30, wait_for, [asyncio.sleep(0, 1), leaving()], 20)
    left, right = within(30, wait_for_each, [leaving(), asyncio.sleep(0.01, 4)], 20)
    assert isinstance(left, SystemExit) and right == 4
