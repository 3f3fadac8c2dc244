"""Rows become episodes, rollouts and answers of a validation. The backend is a mock: it says what a test tells it."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import pytest
from datasets import Dataset

from grpo_plugin.config.environments import EnvironmentsConfig
from grpo_plugin.config.rewards import RewardsConfig
from grpo_plugin.config.validation import ValidationConfig
from grpo_plugin.console.timing import Stopwatch
from grpo_plugin.environments.limits import Limits
from grpo_plugin.environments.loading import Environments
from grpo_plugin.errors import EpisodeError
from grpo_plugin.rollout.client.sampling import Sampling
from grpo_plugin.rollout.generation_log import GenerationLog
from grpo_plugin.scoring import load
from grpo_plugin.trainer.episodes import EpisodeSampler, episode_inputs
from grpo_plugin.trainer.generator import Generator
from grpo_plugin.trainer.metrics import Metrics
from grpo_plugin.trainer.prompt_sampler import PromptSampler
from grpo_plugin.trainer.rollout_metrics import generations, rollout_metrics
from grpo_plugin.trainer.rollout_sampler import RolloutSampler
from grpo_plugin.trainer.tokenization import PromptTokenizer
from grpo_plugin.trainer.validator import Validator, held_out_rows
from tests.unit.environments.chat import call, renderer, tokenizer, turn
from tests.unit.environments.worlds import Counter
from tests.unit.trainer.rollouts import one_process

END = "<|im_end|>"
WORLD = "tests.unit.environments.worlds.Counter"
REWARDS = """
def counted(completions, environments, answer, **columns):
    assert all(messages[-1]["role"] == "assistant" for messages in completions)
    return [float(one.counter == int(gold)) for one, gold in zip(environments, answer)]


def text(completions, prompts, **columns):
    return [float(messages[-1]["content"] == "Done.") for messages in completions]
"""
ROWS = [{"prompt": [{"role": "user", "content": f"Count to {goal}."}], "answer": goal} for goal in "123"]


@dataclass
class Backend:
    """The policy steps by as much as the test says for an episode (0: not at all), then it is done."""

    steps: Any
    plays_on_main: bool = True
    version: int = 4
    asked: list[Sampling] = field(default_factory=list)

    def sync_weights(self, step: int) -> None:
        pass

    def play(self, episodes: Any, sampling: Sampling) -> None:
        self.asked.append(sampling)
        asyncio.run(self._all(episodes))

    async def _all(self, episodes: Any) -> None:
        for place, episode in enumerate(episodes):
            await episode.begin()
            if step := self.steps(place):
                await episode.add_turn(turn(call("increment", f'{{"step": {step}}}') + END))
            await episode.add_turn(turn("Done." + END))
            assert episode.done


def parts(
    folder: Any, backend: Backend, rank: int = 0, ranks: int = 1, world: str = "Counter", max_turns: int | None = None
) -> tuple[Any, Any, EpisodeSampler, Any]:
    """Rewards, generator, episode sampler, accelerator."""
    (folder / "of_test.py").write_text(REWARDS)
    factory = {"factory": f"tests.unit.environments.worlds.{world}", "max_turns": max_turns}
    environments = Environments.load(EnvironmentsConfig.parse("environments", factory), folder)
    own = {reward.name: reward.function for reward in environments.rewards}
    functions = [{"function": "of_test.py:counted"}, {"function": "of_test.py:text", "weight": 0.5}]
    rewards = load(RewardsConfig.parse("rewards", {"functions": functions, "workers": 0}), folder, own)
    accelerator = one_process(rank, ranks)
    prompts = PromptTokenizer(lambda chats: ([[1]] * len(chats), None), tokenizer())
    generator = Generator(backend, prompts, Sampling(max_tokens=300), Stopwatch())
    rendering = environments.rendering(renderer(), folder)
    sampler = EpisodeSampler(environments, rendering, backend, accelerator, Stopwatch())
    return rewards, generator, sampler, accelerator


def rollout_sampler(
    folder: Any, backend: Backend, rank: int = 0, ranks: int = 1, rows: Any = ROWS, **options: Any
) -> RolloutSampler:
    rewards, generator, episodes, accelerator = parts(folder, backend, rank, ranks, **options)
    data = PromptSampler(Dataset.from_list(rows), seed=0, shuffle=False)
    options = {"group_size": 2, "trainer_state": object, "episodes": episodes}
    return RolloutSampler(data, generator, rewards, accelerator, Metrics(), Stopwatch(), **options)


def test_rollouts_carry_what_their_episodes_were(tmp_path):
    sampler = rollout_sampler(tmp_path, Backend(lambda place: place))
    stayed, stepped, over, missed = sampler.sample([0, 1])
    assert [one.row for one in (stayed, stepped, over, missed)] == [0, 0, 1, 1]
    assert sampler.rewards.names == ["counted", "text", "Counter"] and sampler.rewards.weights == [1.0, 0.5, 1.0]
    assert [one.scores for one in (stayed, stepped, over, missed)] == [(0, 1, 0), (1, 1, 1), (1, 1, 2), (0, 1, 3)]
    assert stepped.reward == 1.0 + 0.5 + 1.0
    assert stepped.sampled_mask is not None and not all(stepped.sampled_mask) and stepped.sampled_mask[-1]
    assert stepped.sampled_tokens == sum(stepped.sampled_mask) < len(stepped.completion_ids)
    assert stepped.sampler_logps == [-0.5 if own else 0.0 for own in stepped.sampled_mask]
    assert (stepped.policy_version, stepped.finish_reason, stepped.answer) == (3, "stop", "1")
    assert stepped.episode is not None and stepped.episode.messages[1] == {
        "role": "tool",
        "name": "increment",
        "content": "1",
    }
    metrics = dict(rollout_metrics([stayed, stepped, over, missed], sampler.rewards.names, 2, 0.0))
    assert (metrics["episode/turns"], metrics["episode/tool_calls"], metrics["episode/tool_failures"]) == (
        1.75,
        0.75,
        0,
    )


def test_rewards_see_what_the_template_opened_for_each_turn(tmp_path):
    """A template that opens `<think>`, for the first turn and after a tool's result."""
    template = "qwen3_5_think"
    environments = Environments.load(EnvironmentsConfig.parse("environments", {"factory": WORLD}), tmp_path)
    rendering = environments.rendering(renderer(template), tmp_path)
    row = {"prompt": [{"role": "user", "content": "Count."}]}
    episode = environments.episode(row, rendering, Limits(2000))
    step = "<tool_call>\n<function=increment>\n<parameter=step>\n1\n</parameter>\n</function>\n</tool_call>"
    turns = [f"One.\n</think>\n\n{step}", "Over.\n</think>\n\nDone."]

    async def play():
        await episode.begin()
        for text in turns:
            await episode.add_turn(turn(text + END, template=template))

    asyncio.run(play())
    prompts = PromptTokenizer(lambda chats: ([[1]] * len(chats), None), tokenizer(template))
    [messages] = episode_inputs([row], [episode], prompts).completions
    assert [message["role"] for message in messages] == ["assistant", "tool", "assistant"]
    assert messages[0]["content"] == "<think>\nOne.\n</think>" and messages[0]["tool_calls"]
    assert messages[2]["content"] == "<think>\nOver.\n</think>\n\nDone."
    assert episode.messages[2]["content"] == turns[1], "the episode itself is as it was"


def test_instances_are_used_again(tmp_path):
    made = Counter.made
    sampler = rollout_sampler(tmp_path, Backend(lambda place: 1))
    for _ in range(3):
        sampler.sample([0, 1])
    assert Counter.made - made == 4, "one for each episode that is played at once"


def test_failed_calls_are_counted_by_kind(tmp_path):
    sampler = rollout_sampler(tmp_path, Backend(lambda place: '"far"' if place else 1))
    metrics = dict(rollout_metrics(sampler.sample([0]), sampler.rewards.names, 2, 0.0))
    kinds = ("malformed", "unknown", "arguments", "exception", "timeout")
    found = [metrics[f"episode/tool_failures/{kind}"] for kind in kinds]
    assert metrics["episode/tool_failures"] == 0.5 and found == [0, 0, 0, 0.5, 0]


def test_episodes_without_a_turn_left_are_counted_and_not_taken_for_truncated(tmp_path):
    """As in TRL: their last turn has ended, so `overlong: mask` keeps them."""

    class Cut(Backend):
        async def _all(self, episodes):
            for place, episode in enumerate(episodes):
                await episode.begin()
                while not episode.done:
                    await episode.add_turn(turn((call("increment", '{"step": 1}') if place else "Done.") + END))

    sampler = rollout_sampler(tmp_path, Cut(lambda place: 0), max_turns=2)
    ended, over = sampler.sample([0])
    metrics = dict(rollout_metrics([ended, over], sampler.rewards.names, 2, 0.0))
    assert [one.episode.out_of_turns for one in (ended, over)] == [False, True]
    assert metrics["episode/out_of_turns"] == 0.5 and metrics["completions/clipped_ratio"] == 0.0
    log = generations([ended, over], [], sampler.rewards.names, temperature=1.0)
    assert log.episodes["out_of_turns"] == [False, True]


@pytest.mark.parametrize(("on_main", "expected"), [(True, [[0, 0, 1, 1, 2, 2], []]), (False, [[0, 0, 1, 1], [2, 2]])])
def test_the_main_process_plays_all_episodes_or_each_rank_its_own(tmp_path, on_main, expected):
    found = [
        [one.row for one in rollout_sampler(tmp_path, Backend(lambda place: 1, on_main), rank, 2).sample([0, 1, 2])]
        for rank in range(2)
    ]
    assert found == expected


def test_greedy_episodes_are_the_baselines_of_remax(tmp_path):
    backend = Backend(lambda place: place + 1)
    assert rollout_sampler(tmp_path, backend).greedy_rewards([0, 1]) == [2.5, 3.5]
    assert [sampling.temperature for sampling in backend.asked] == [0.0]


def test_held_out_episodes_are_scored_with_their_environments_and_logged(tmp_path):
    rewards, generator, episodes, accelerator = parts(tmp_path, Backend(lambda place: 1))
    options = ValidationConfig(samples=2, greedy=False, pass_at=[2], majority_at=[])
    data = [row | {"observation": "Be quick."} for row in ROWS]
    sets = [held_out_rows("validation", data, options, rewards)]
    log = GenerationLog(tmp_path / "validation")
    (evaluation,) = Validator(sets, generator, accelerator, log, episodes)(7)
    assert evaluation.overall.sampled == pytest.approx(1 / 3), "the answer of the first row"
    assert evaluation.rewards == {"counted": pytest.approx(1 / 3), "text": 1.0, "Counter": 1.0}
    rows = pd.read_parquet(tmp_path / "validation")
    assert len(rows) == 6 and set(rows["turns"]) == {2} and set(rows["tool_calls"]) == {1}
    assert set(rows["completion"]) == {"Done."}, "the text of the model, without the tool's"
    assert all("increment" in text and "Be quick." in text for text in rows["prompt"]), "with tools and observation"
    assert rows["tokens"].tolist() == [evaluation.overall.max_length] * 6, "those that it sampled"


def test_a_row_whose_reset_fails_is_named(tmp_path):
    data = [row | {"trouble": "raise" if row["answer"] == "2" else ""} for row in ROWS]
    sampler = rollout_sampler(tmp_path, Backend(lambda place: 0), rows=data, world="Troubled")
    with pytest.raises(EpisodeError, match=r"row 1 of prompts.train .*no server"):
        sampler.sample([0, 1])
