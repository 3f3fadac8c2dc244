"""Hugging Face's completions end at the first terminator, and each rank gets those of its own prompts."""

import asyncio
from types import SimpleNamespace

import pytest

from grpo_plugin.errors import EpisodeError
from grpo_plugin.rollout.client.sampling import Sampling
from grpo_plugin.trainer.huggingface_backend import HuggingFaceBackend

CONFIG = {"do_sample": True, "temperature": 0.9, "top_p": 0.5, "max_new_tokens": 8}


class Model:
    """Writes its prompt's last token again, then 1 (a terminator), 2 (another) and padding."""

    def __init__(self):
        self.config = SimpleNamespace(**CONFIG)
        self.calls: list[tuple[list[list[int]], dict]] = []

    def generate(self, prompt_ids, images, pixels):
        self.calls.append((prompt_ids, dict(vars(self.config))))
        return [[ids[-1]] * ids[0] + [1, 2, 0, 0] if ids[0] < 9 else [ids[-1]] * 8 for ids in prompt_ids]


def backend(model: Model) -> HuggingFaceBackend:
    accelerator = SimpleNamespace(num_processes=1, process_index=0)
    return HuggingFaceBackend(model.generate, model.config, accelerator, [1, 2])


def test_a_completion_ends_at_its_first_terminator_and_keeps_it():
    hugging_face = backend(Model())
    hugging_face.sync_weights(3)
    groups = hugging_face.generate([[2, 40], [9, 50]], 2, Sampling(max_tokens=8), [None, None])
    assert [[one.token_ids for one in group] for group in groups] == [[[40, 40, 1]] * 2, [[50] * 8] * 2]
    assert [group[0].finish_reason for group in groups] == ["stop", "length"]
    assert {one.version for group in groups for one in group} == {3}
    assert groups[0][0].logps is None


def test_sampling_is_that_of_the_call_while_it_runs():
    model = Model()
    backend(model).generate([[1, 40]], 1, Sampling(max_tokens=3, temperature=0.0, top_p=0.7), [None])
    ((_, during),) = model.calls
    assert during == {"do_sample": False, "temperature": 1.0, "top_p": 0.7, "max_new_tokens": 3}
    assert vars(model.config) == CONFIG


@pytest.mark.parametrize("prompts", [[], [[1, 40]]])
def test_there_may_be_no_prompt(prompts):
    groups = backend(Model()).generate(prompts, 2, Sampling(max_tokens=8), [None] * len(prompts))
    assert [len(group) for group in groups] == [2] * len(prompts)


class Episode:
    """Takes turns until it has as many as it wants; each turn is its prompt's next token."""

    def __init__(self, token_ids, wanted, budget=8):
        self.token_ids, self.wanted, self.budget, self.turns = token_ids, wanted, budget, []

    @property
    def done(self):
        return len(self.turns) == self.wanted

    async def begin(self):
        assert not self.turns

    async def add_turn(self, completion):
        self.turns.append(completion)
        self.token_ids = [*self.token_ids, *completion.token_ids]
        self.budget = 0 if self.done else self.budget


def test_episodes_are_played_in_rounds_of_one_batch_of_all_that_wait():
    model = Model()
    played = [Episode([1, 40], 1), Episode([2, 50], 3, budget=5), Episode([1, 60], 0)]
    backend(model).play(played, Sampling(max_tokens=100, temperature=0.5))
    assert [len(prompts) for prompts, _ in model.calls] == [2, 1, 1]
    assert [during["max_new_tokens"] for _, during in model.calls] == [8, 5, 5], "the largest budget of the round"
    assert {during["temperature"] for _, during in model.calls} == {0.5}
    assert [turn.token_ids for turn in played[1].turns] == [[50, 50, 1], [1], [1]]
    assert vars(model.config) == CONFIG


def test_nothing_is_generated_for_no_episodes():
    model = Model()
    backend(model).play([], Sampling(max_tokens=8))
    assert not model.calls


def test_an_episode_that_fails_ends_the_work_on_the_others():
    ended = []

    class Slow(Episode):
        async def begin(self):
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                ended.append(self)
                raise

    class Broken(Episode):
        async def begin(self):
            raise EpisodeError("no world")

    slow, broken = Slow([1, 40], 1), Broken([1, 40], 1)
    with pytest.raises(EpisodeError, match="no world"):
        backend(Model()).play([slow, broken], Sampling(max_tokens=8))
    assert ended == [slow]
