"""Tools and environments that fail: the model is told, and the run goes on."""

import asyncio
import multiprocessing
import os
import time

import pytest

from grpo_plugin.environments.limits import Limits
from grpo_plugin.errors import EpisodeError
from tests.unit.environments import worlds
from tests.unit.environments.chat import call, renderer, turn
from tests.unit.environments.test_episode import END, ROW, WORLDS, make, play

HERE = "tests.unit.environments.test_environment_faults"
TROUBLED = f"{WORLDS}.Troubled"


@pytest.fixture
def threads_released():
    yield
    worlds.RELEASE.set()
    time.sleep(0.05)
    worlds.RELEASE.clear()


def fail(kind):
    return call("fail", f'{{"kind": "{kind}"}}') + END


def wait(stubborn):
    return call("wait", f'{{"stubborn": {stubborn}}}') + END


@pytest.mark.usefixtures("threads_released")
@pytest.mark.parametrize("isolation", ["threads", "processes"])
def test_every_failure_is_an_answer(tmp_path, isolation):
    environments, episode = make(tmp_path, {}, Limits(20_000), factory=TROUBLED, isolation=isolation, tool_timeout=1)
    began = time.monotonic()
    play(episode, fail("raise"), fail("silent"), fail("exit"), fail("hang"), fail("much"), "Enough." + END)
    answers = [message["content"] for message in episode.messages if message["role"] == "tool"]
    assert answers[:4] == [
        "{'error': 'bad luck'}",
        "{'error': 'RuntimeError'}",
        "{'error': '3'}",
        "{'error': 'The call took longer than 1 s and was ended.'}",
    ]
    assert answers[4] == "y" * 4096 + "\n[9995904 more characters were left out]"
    assert dict(episode.failures) == {"exception": 3, "timeout": 1}
    assert time.monotonic() - began < 60
    environments.close()


def test_a_tool_that_kills_its_process_costs_the_call_alone(tmp_path):
    before = set(multiprocessing.active_children())
    environments, episode = make(tmp_path, {}, Limits(20_000), factory=TROUBLED, isolation="processes", workers=1)
    play(episode, fail("kill"), fail("much"), "Enough." + END)
    answers = [message["content"] for message in episode.messages if message["role"] == "tool"]
    assert answers[0] == "{'error': 'The call ended its process (exit code 3).'}"
    assert answers[1].startswith("yyy") and dict(episode.failures) == {"exception": 1}
    environments.close()
    assert not set(multiprocessing.active_children()) - before


def test_the_time_limit_ends_a_busy_tool_and_leaves_the_state_as_it_was(tmp_path):
    (tmp_path / "slow.py").write_text(
        "import time\n\n\nclass Slow:\n    def reset(self):\n        self.moves = []\n\n"
        "    def move(self, seconds: float) -> str:\n"
        '        """\n        Move.\n\n        Args:\n            seconds: How long it takes.\n        """\n'
        "        self.moves.append(seconds)\n        time.sleep(seconds)\n        return str(self.moves)\n"
    )
    config = {"factory": "slow.py:Slow", "isolation": "processes", "workers": 1, "tool_timeout": 2}
    environments, episode = make(tmp_path, {}, **config)
    moves = [call("move", f'{{"seconds": {seconds}}}') + END for seconds in (0, 60, 0.5)]
    play(episode, *moves, "Done." + END)
    answers = [message["content"] for message in episode.messages if message["role"] == "tool"]
    assert answers[0] == "[0]" and "longer than 2 s" in answers[1] and answers[2] == "[0, 0.5]"
    assert episode.environment.moves == [0, 0.5], "the state came back from the worker"
    instance = episode.environment
    episode.end()
    again = environments.episode({}, environments.rendering(renderer(), tmp_path), Limits(99))
    play(again)
    assert again.environment is not instance and again.environment.moves == []
    environments.close()


@pytest.mark.usefixtures("threads_released")
def test_an_instance_with_a_thread_that_was_given_up_is_not_used_again(tmp_path):
    environments, episode = make(tmp_path, {}, factory=TROUBLED, tool_timeout=0.2)
    play(episode, fail("hang"), "So." + END)
    instance = episode.environment
    episode.end()
    again = environments.episode({}, environments.rendering(renderer(), tmp_path), Limits(99))
    play(again)
    assert again.environment is not instance


@pytest.mark.parametrize("stubborn", ["true", "false"])
def test_an_async_tool_is_cancelled(tmp_path, stubborn):
    _, episode = make(tmp_path, {}, factory=TROUBLED, tool_timeout=0.1)
    began = time.monotonic()
    play(episode, wait(stubborn), "So." + END)
    assert "longer than 0.1 s" in episode.messages[1]["content"] and dict(episode.failures) == {"timeout": 1}
    assert time.monotonic() - began < 20


def test_a_slow_tool_holds_up_nobody(tmp_path):
    """Two episodes in one loop: one waits for its tool while the other is played to its end."""
    environments, slow = make(tmp_path, {}, factory=TROUBLED, tool_timeout=30)
    quick = environments.episode({}, environments.rendering(renderer(), tmp_path), Limits(20_000))

    async def run():
        await slow.begin()
        waiting = asyncio.create_task(slow.add_turn(turn(fail("hang"))))
        await quick.begin()
        await quick.add_turn(turn(fail("much")))
        await quick.add_turn(turn("Done." + END))
        assert quick.done and not waiting.done()
        worlds.RELEASE.set()
        await waiting

    asyncio.run(run())
    worlds.RELEASE.clear()
    assert not slow.failures and slow.tool_calls == 1


@pytest.mark.parametrize("isolation", ["threads", "processes"])
@pytest.mark.parametrize(
    ("trouble", "message"),
    [
        ("raise", r"Troubled\.reset\(\) failed on row 7 \(ConnectionError: no server\); correct the row or"),
        ("number", r"reset\(\) failed on row 7 \(it returned int, neither None nor text nor content blocks\)"),
        ("hang", r"reset\(\) failed on row 7 \(The call took longer than 2 s and was ended\.\)"),
    ],
)
@pytest.mark.usefixtures("threads_released")
def test_a_reset_that_fails_names_its_row(tmp_path, isolation, trouble, message):
    row = {"trouble": trouble}
    environments, episode = make(tmp_path, row, factory=TROUBLED, isolation=isolation, reset_timeout=2)
    with pytest.raises(EpisodeError, match=message):
        play(episode)
    episode.end()
    environments.close()


def test_an_environment_that_cannot_be_made_again_is_an_error(tmp_path):
    (tmp_path / "once.py").write_text(
        "made = []\n\n\nclass Once:\n    def __init__(self):\n        assert not made, 'one seat alone'\n"
        "        made.append(self)\n\n    def reset(self):\n        pass\n"
    )
    environments, first = make(tmp_path, {}, factory="once.py:Once")
    play(first)
    second = environments.episode({}, environments.rendering(renderer(), tmp_path), Limits(99))
    with pytest.raises(EpisodeError, match=r"environments\.factory: Once could not be made \(AssertionError: one seat"):
        play(second)


def test_a_text_model_is_told_that_it_cannot_see(tmp_path):
    (tmp_path / "shown.py").write_text(
        "class Shown:\n    def reset(self, picture=False):\n"
        "        return [{'type': 'image', 'image': 'a.png'}] if picture else None\n\n"
        "    def show(self) -> list:\n        '''Show.'''\n        return [{'type': 'image', 'image': 'a.png'}]\n"
    )
    environments, episode = make(tmp_path, {}, factory="shown.py:Shown")
    play(episode, call("show", "{}") + END, "So." + END)
    assert "show() returned something other than text" in episode.messages[1]["content"]
    assert dict(episode.failures) == {"exception": 1} and episode.images == []
    other = environments.episode({"picture": True}, environments.rendering(renderer(), tmp_path), Limits(9), "row 2")
    with pytest.raises(EpisodeError, match=r"reset\(\) returned something other than text, .* for row 2; return text"):
        play(other)


def test_half_a_character_of_a_tool_or_a_reset_is_replaced(tmp_path):
    (tmp_path / "halves.py").write_text(
        "class Halves:\n    def reset(self):\n        return ' \\ud83d'\n\n"
        "    def half(self, blocks: bool) -> object:\n"
        "        '''\n        Half.\n\n        Args:\n            blocks: How.\n        '''\n"
        "        return [{'type': 'text', 'text': '\\ud83d'}] if blocks else '\\ud83d'\n"
    )
    _, episode = make(tmp_path, ROW, Limits(9000), factory="halves.py:Halves")
    halves = [call("half", f'{{"blocks": {blocks}}}') + END for blocks in ("false", "true")]
    play(episode, *halves, "So." + END)
    assert episode.prompt[-1]["content"] == "Count to 3. \ufffd"
    assert [message["content"] for message in episode.messages[1::2]] == ["\ufffd", "\ufffd"]


FRAGILE = """
class Pair(Exception):
    def __init__(self, one, two):
        super().__init__(one)  # pickle makes it again with one argument


class Fragile:
    def __init__(self):
        self.last = None
        self.moves = []

    def reset(self):
        pass

    def move(self, how: str) -> object:
        \'\'\'
        Move.

        Args:
            how: In which way.
        \'\'\'
        self.moves.append(how)
        if how == "state":
            self.last = Pair(1, 2)
        return str(self.moves)
"""


def test_a_state_that_cannot_be_received_is_a_failed_call(tmp_path):
    (tmp_path / "fragile.py").write_text(FRAGILE)
    _, episode = make(tmp_path, {}, Limits(20_000), factory="fragile.py:Fragile", isolation="processes", workers=1)
    play(episode, *(call("move", f'{{"how": "{how}"}}') + END for how in ("state", "so")), "Done." + END)
    answers = [message["content"] for message in episode.messages if message["role"] == "tool"]
    assert "The state or the result cannot be sent back" in answers[0] and "two" in answers[0]
    assert answers[1] == "['so']" and dict(episode.failures) == {"exception": 1}


@pytest.mark.parametrize("moment", ["received", "sent"])
def test_a_state_whose_pickling_exits_here_is_a_failed_call(tmp_path, moment):
    """What the worker can read and the trainer cannot, as both run the user's own code for it."""
    config = {"factory": f"{HERE}.OnTheWay", "isolation": "processes", "workers": 1}
    _, episode = make(tmp_path, {}, Limits(20_000), **config)
    play(episode, call("stay", f'{{"moment": "{moment}"}}') + END, call("stay", '{"moment": ""}') + END, "So." + END)
    answers = [message["content"] for message in episode.messages if message["role"] == "tool"]
    expected = {"received": "received from its worker process (no way)", "sent": "sent to a worker process (no way)"}
    assert expected[moment] in "".join(answers) and set(episode.failures) == {"exception"}
    assert episode.done


class OnTheWay:
    def __init__(self):
        self.moment, self.maker = "", os.getpid()

    def reset(self):
        pass

    def stay(self, moment: str) -> str:
        """
        Stay.

        Args:
            moment: When to leave.
        """
        self.moment = moment
        return moment

    def __getstate__(self):
        if self.moment == "sent" and os.getpid() == self.maker:
            raise SystemExit("no way")
        return self.__dict__

    def __setstate__(self, state):
        if state["moment"] == "received" and os.getpid() == state["maker"]:
            raise SystemExit("no way")
        self.__dict__.update(state)
