"""The life of an environment's instance: its thread, its pool, its end."""

import asyncio
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from grpo_plugin.environments.instances import Instance
from grpo_plugin.environments.isolated_calls import Job
from grpo_plugin.environments.limited_calls import CallFailed
from grpo_plugin.environments.limits import Limits
from grpo_plugin.environments.shared_directory import SharedDirectory
from grpo_plugin.errors import EpisodeError, RecipeError
from tests.unit.environments import worlds
from tests.unit.environments.chat import call, renderer
from tests.unit.environments.test_episode import END, ROW, WORLDS, make, play

LEDGER = """
import sqlite3


class Ledger:
    def __init__(self):
        self.data = sqlite3.connect(":memory:")  # may be used by the thread alone that made it

    def reset(self):
        self.data.execute("create table if not exists spent (cents int)")
        self.data.execute("delete from spent")

    def spend(self, cents: int) -> int:
        '''
        Spend something.

        Args:
            cents: How much.
        '''
        self.data.execute("insert into spent values (?)", (cents,))
        return self.get_reward()

    def get_reward(self) -> float:
        return self.data.execute("select sum(cents) from spent").fetchone()[0]

    def close(self):
        self.data.close()
        closed.append(self)


closed = []
"""


def test_an_instance_has_one_thread_all_its_life(tmp_path):
    (tmp_path / "ledger.py").write_text(LEDGER)
    environments, first = make(tmp_path, {}, factory="ledger.py:Ledger")
    second = environments.episode({}, environments.rendering(renderer(), tmp_path), Limits(1000))
    for episode, cents in ((first, 3), (second, 4)):
        play(episode, call("spend", f'{{"cents": {cents}}}') + END, call("spend", '{"cents": 1}') + END, "So." + END)
        assert not episode.failures
        assert [message["content"] for message in episode.messages[1::2]] == [str(cents), str(cents + 1)]
    [reward] = environments.rewards
    assert reward.function(environments=[second.environment, worlds.Counter(), first.environment]) == [5, None, 4]
    closed = type(first.environment).close.__globals__["closed"]
    first.end()
    second.end()
    environments.close()
    assert len(closed) == 2


def test_the_threads_of_a_run_end_with_it(tmp_path):
    def environment_threads():
        return {thread for thread in threading.enumerate() if thread.name == "environment"}

    before = environment_threads()
    environments, episode = make(tmp_path, tools=[f"{WORLDS}.multiply"])
    play(episode, call("multiply", '{"a": 2, "b": 3}') + END, "6" + END)
    episode.end()
    environments.close()
    assert not {thread for thread in environment_threads() - before if thread.is_alive()}


def test_a_reward_is_had_of_an_instance_whose_thread_hangs(tmp_path):
    environments, episode = make(
        tmp_path, ROW, factory="tests.unit.environments.test_instances.Stuck", tool_timeout=0.2
    )
    play(episode, call("stick", "{}") + END, "So." + END)
    assert dict(episode.failures) == {"timeout": 1}
    stuck, [reward] = episode.environment, environments.rewards
    assert Instance.holding(stuck).is_lost
    assert reward.function(environments=[stuck]) == [0.25]
    episode.end()
    assert stuck.closed.wait(10), "it is closed, as nobody else gets it"
    assert Instance.holding(stuck) is None
    worlds.RELEASE.set()
    worlds.RELEASE.clear()


class Stuck:
    def __init__(self):
        self.closed = threading.Event()

    def reset(self):
        pass

    def stick(self) -> None:
        """Hang."""
        worlds.RELEASE.wait(60)

    def get_reward(self) -> float:
        return 0.25

    async def close(self) -> None:
        await asyncio.sleep(0)
        self.closed.set()


def test_an_instance_whose_reset_is_cancelled_is_closed(tmp_path):
    environments, episode = make(tmp_path, {"trouble": "hang"}, factory=f"{WORLDS}.Troubled")
    closed = threading.Event()
    [instance] = environments.by_name[None].pool._made
    instance.value.close = closed.set

    async def run():
        beginning = asyncio.create_task(episode.begin())
        await asyncio.sleep(0.2)
        beginning.cancel()
        await asyncio.wait({beginning})

    asyncio.run(run())
    assert closed.wait(10) and environments.by_name[None].pool._made == []
    worlds.RELEASE.set()
    worlds.RELEASE.clear()


def test_a_process_that_fails_closes_its_instances(tmp_path):
    (tmp_path / "room.py").write_text(
        "class Room:\n    def reset(self):\n        pass\n\n    def close(self):\n        print('closed', flush=True)\n"
    )
    program = (
        "import sys; from pathlib import Path; from grpo_plugin.config.environments import EnvironmentsConfig as C\n"
        "from grpo_plugin.environments.loading import Environments\n"
        "Environments.load(C.parse('environments', {'factory': 'room.py:Room'}), Path(sys.argv[1])); 1 / 0"
    )
    ran = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, timeout=120)
    assert ran.stdout == "closed\n" and "ZeroDivisionError" in ran.stderr


@pytest.mark.parametrize("fails", [True, False])
def test_a_reward_that_raises_raises(tmp_path, fails):
    (tmp_path / "moody.py").write_text(
        "class Moody:\n    def reset(self):\n        pass\n\n"
        f"    def get_reward(self):\n        return 1 / {int(not fails)}\n"
    )
    environments, episode = make(tmp_path, {}, factory="moody.py:Moody")
    play(episode)
    [reward] = environments.rewards
    if fails:
        with pytest.raises(ZeroDivisionError):
            reward.function(environments=[episode.environment])
    else:
        assert reward.function(environments=[episode.environment]) == [1.0]


SLOWLY_MADE = """
import threading

made, closed, release = [], threading.Event(), threading.Event()


class Slow:
    def __init__(self):
        made.append(self)
        if len(made) > FIRST:
            release.wait(60)

    def reset(self):
        pass

    def close(self):
        closed.set()
"""


def test_an_instance_that_is_made_too_late_is_closed(tmp_path):
    (tmp_path / "slow.py").write_text(SLOWLY_MADE.replace("FIRST", "1"))
    environments, first = make(tmp_path, {}, factory="slow.py:Slow", reset_timeout=0.2)
    play(first)
    module = type(first.environment).__init__.__globals__
    second = environments.episode({}, environments.rendering(renderer(), tmp_path), Limits(99))
    with pytest.raises(EpisodeError, match=r"Slow could not be made \(The call took longer than 0\.2 s"):
        play(second)
    assert not module["closed"].is_set()
    module["release"].set()
    assert module["closed"].wait(10)
    assert [instance.value for instance in environments.by_name[None].pool._made] == [first.environment]


def test_the_first_instance_has_a_time_limit_too(tmp_path):
    (tmp_path / "slow.py").write_text(SLOWLY_MADE.replace("FIRST", "0").replace("(60)", "(5)"))
    with pytest.raises(RecipeError, match=r"Slow' made no environment within environments\.reset_timeout \(0\.2"):
        make(tmp_path, {}, factory="slow.py:Slow", reset_timeout=0.2)


@pytest.mark.parametrize("isolation", ["threads", "processes"])
def test_nothing_is_made_or_started_after_the_end_of_the_run(tmp_path, isolation):
    counter = f"{WORLDS}.Counter"
    environments, first = make(tmp_path, {}, factory=counter, isolation=isolation, workers=1)
    asyncio.run(first.begin())
    second = environments.episode(ROW, environments.rendering(renderer(), tmp_path), Limits(99))
    closed = worlds.Counter.closed
    environments.close()
    with pytest.raises(EpisodeError, match=r"Counter could not be made \(the run is over\)"):
        play(second)
    first.end()
    assert environments.by_name[None].pool.take() is None
    deadline = time.monotonic() + 10
    while worlds.Counter.closed < closed + 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert worlds.Counter.closed == closed + 2, "each once: the first, and the one that came too late"


def test_worker_processes_do_not_start_again_after_the_end_of_the_run(tmp_path):
    environments, _ = make(tmp_path, ROW, isolation="processes", workers=1)
    environments.close()
    with pytest.raises(CallFailed, match=r"The run is over\."):
        asyncio.run(environments._isolation.call(None, Job({}, spec="none"), 10))
    assert environments._isolation._pool is None


def test_the_working_directory_is_that_of_before_when_all_calls_are_over(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "aside").mkdir()
    (tmp_path / "moving.py").write_text(
        "import os\n\n\ndef move() -> str:\n    '''Move.'''\n    os.chdir('aside')\n    return os.getcwd()\n"
    )
    _, episode = make(tmp_path, ROW, factory=None, tools=["moving.py:move"])
    play(episode, call("move", "{}") + END, call("move", "{}") + END, "So." + END)
    assert [message["content"] for message in episode.messages[1::2]] == [str(tmp_path / "aside")] * 2
    directory = SharedDirectory()
    with directory.restored():
        with directory.restored():
            os.chdir("aside")
        assert Path.cwd() == tmp_path / "aside", "another call is running"
    assert Path.cwd() == tmp_path
