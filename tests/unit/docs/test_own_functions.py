"""The examples of "write your own", taken from the pages and run."""

from pathlib import Path
from typing import Any

import pytest
import torch

from grpo_plugin.algorithms import advantages
from grpo_plugin.algorithms.losses import policy_loss
from grpo_plugin.config.environments import EnvironmentsConfig
from grpo_plugin.config.rewards import RewardsConfig
from grpo_plugin.environments.limits import Limits
from grpo_plugin.environments.loading import Environments
from grpo_plugin.errors import RecipeError
from grpo_plugin.scoring import load
from tests.unit.docs.pages import blocks, titled
from tests.unit.environments.chat import call, renderer
from tests.unit.environments.test_episode import play

CLIP = {"clip_low": 0.2, "clip_high": 0.2}


@pytest.fixture
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The three files, saved beside a recipe."""
    for name in ("my_advantages.py", "my_losses.py", "my_rewards.py"):
        (tmp_path / name).write_text(titled(name))
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_the_advantage(saved: Path) -> None:
    rewards = torch.tensor([0.0, 1.0, 5.0, 2.0, 2.0, float("nan")], dtype=torch.float64)
    mask = torch.ones(6, 2, dtype=torch.bool)
    inputs = {"rewards": rewards, "group_size": 3, "mask": mask}
    found = advantages.compute("my_advantages.median_baseline", **inputs, scale=2.0)
    assert found.tolist() == [-2.0, 0.0, 8.0, 0.0, 0.0, 0.0]
    with pytest.raises(RecipeError, match="has no option 'sclae'; its options: scale"):
        advantages.compute("my_advantages.median_baseline", **inputs, sclae=2.0)


def test_the_loss_and_its_gradient(saved: Path) -> None:
    old, mask = torch.full((2, 2), -1.0), torch.ones(2, 2, dtype=torch.bool)
    signs = torch.tensor([1.0, -1.0])

    def gradient(kind: str, **options: float) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        logps = torch.tensor([[-0.9, -1.05], [-1.1, -0.95]], requires_grad=True)
        loss, metrics = policy_loss(logps, old, signs, mask, kind=kind, **CLIP, **options)
        loss.backward()
        assert logps.grad is not None
        return logps.grad, metrics

    plain, _ = gradient("ppo")
    half, metrics = gradient("my_losses.clipped_weighted", negative=0.5)
    assert torch.equal(half[0], plain[0]) and torch.equal(half[1], 0.5 * plain[1])
    assert plain.abs().min() > 0
    assert metrics["negative"] == 0.5 and "clip/high" in metrics
    assert torch.equal(gradient("my_losses.clipped_weighted", negative=1.0)[0], plain)


@pytest.mark.parametrize("chat", [True, False], ids=["messages", "strings"])
def test_the_rewards(saved: Path, chat: bool) -> None:
    functions = [
        {"function": "my_rewards.py:last_line_is_right"},
        {"function": "my_rewards.py:short_enough", "kwargs": {"limit": 2}},
    ]
    rewards = load(RewardsConfig.parse("rewards", {"functions": functions, "workers": 0}), saved)
    texts = ["Two and two.\n4", "4, I think", ""]
    completions = [[{"role": "assistant", "content": text}] for text in texts] if chat else texts
    prompts = [[{"role": "user", "content": "2+2?"}]] * 3 if chat else ["2+2?"] * 3
    scores = rewards.score(prompts, completions, [[1, 2], [1, 2, 3, 4], []], {"answer": ["4", "4", "4"]})
    rewards.close()
    assert scores.by_function == [[1.0, 0.0, 0.0], [1.0, 0.5, 1.0]]


def test_the_environment(tmp_path: Path) -> None:
    (tmp_path / "my_env.py").write_text(titled("my_env.py"))
    environments = Environments.load(
        EnvironmentsConfig.parse("environments", {"factory": "my_env.py:GuessTheNumber"}), tmp_path
    )
    row = {"prompt": [{"role": "user", "content": "Find it."}], "number": 37}
    rendering = environments.rendering(renderer(), tmp_path)
    episode, other = (environments.episode(row, rendering, Limits(2000)) for _ in range(2))
    guesses = [call("guess", f'{{"number": {number}}}') + "<|im_end|>" for number in (50, 37, 37)]
    play(episode, *guesses, "It is 37.<|im_end|>")
    assert episode.prompt[0]["content"] == "Find it. I have a number from 1 to 100."
    results = [message["content"] for message in episode.messages if message["role"] == "tool"]
    assert results == ["It is lower.", "That is it.", "{'error': 'the number was found already'}"]
    play(other, "I do not know.<|im_end|>")
    played = [episode.environment, other.environment]
    assert environments.rewards[0].function(environments=played) == [0.9, 0.0]
    names: dict[str, Any] = {}
    exec(titled("my_episode_rewards.py"), names)
    assert names["few_guesses"]([], played) == [0.5, 1.0]
    environments.close()


def test_the_reward_of_the_readme() -> None:
    (code,) = [block.text for block in blocks("python") if block.page.name == "README.md"]
    names: dict[str, Any] = {}
    exec(code, names)
    completions = [[{"role": "assistant", "content": "x" * length}] for length in (3, 4)]
    assert names["short_enough"](completions, limit=3, answer=["a", "b"]) == [1.0, 0.0]
