"""get_reward() that hangs or raises: within its time, and asked once in an episode."""

import asyncio
import threading
import time

import pytest

from grpo_plugin.environments.limits import Limits
from grpo_plugin.errors import RewardError
from tests.unit.environments.chat import renderer
from tests.unit.environments.test_episode import make, play

HERE = "tests.unit.environments.test_own_reward_faults"
RELEASE = threading.Event()


class Moody:
    def reset(self, mood):
        self.mood, self.asked = mood, 0

    def get_reward(self):
        self.asked += 1
        if self.mood == "hang":
            RELEASE.wait(60)
        if self.mood == "raise":
            raise OSError("no licence")
        return 0.5


class AsyncMoody(Moody):
    async def get_reward(self):
        self.asked += 1
        if self.mood == "hang":
            await asyncio.sleep(60)
        if self.mood == "raise":
            raise OSError("no licence")
        return 0.5


def score(reward, environments):
    returned = reward.function(environments=environments)
    return asyncio.run(returned) if asyncio.iscoroutine(returned) else returned


@pytest.mark.parametrize("kind", ["Moody", "AsyncMoody"])
@pytest.mark.parametrize(
    ("mood", "error", "sentence"),
    [
        ("hang", RewardError, r"oody\.get_reward\(\) took longer than environments\.reset_timeout \(0\.3 s\); allow"),
        ("raise", OSError, "no licence"),
    ],
)
def test_each_instance_is_asked_once(tmp_path, kind, mood, error, sentence):
    """As `score_batch` asks and, after a failure, `score_one` of each."""
    environments, first = make(tmp_path, {"mood": mood}, factory=f"{HERE}.{kind}", reset_timeout=0.3)
    second = environments.episode({"mood": "fine"}, environments.rendering(renderer(), tmp_path), Limits(99))
    play(first)
    play(second)
    [reward] = environments.rewards
    failing, fine = first.environment, second.environment
    began = time.monotonic()
    for _ in range(2):
        with pytest.raises(error, match=sentence):
            score(reward, [failing, fine])
    with pytest.raises(error):
        score(reward, [failing])
    assert score(reward, [fine]) == [0.5]
    assert (failing.asked, fine.asked) == (1, 1) and time.monotonic() - began < 30
    second.end()
    again = environments.episode({"mood": "raise"}, environments.rendering(renderer(), tmp_path), Limits(99))
    play(again)
    assert again.environment is fine
    with pytest.raises(OSError, match="no licence"):
        score(reward, [fine])
    RELEASE.set()
    RELEASE.clear()
    first.end()
    environments.close()
