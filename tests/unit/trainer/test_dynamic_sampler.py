"""Dynamic sampling: what is generated, what is kept, and for which batch."""

import math

import pytest
from datasets import Dataset

from grpo_plugin.config.algorithm import DynamicSampling as Filter
from grpo_plugin.errors import RecipeError
from grpo_plugin.trainer.dynamic_sampler import DynamicSampler
from grpo_plugin.trainer.prompt_sampler import PromptSampler
from tests.unit.trainer.rollouts import rollout

ROWS = Dataset.from_dict({"prompt": [str(i) for i in range(1000)]})


class Engine:
    """Row r's group of two is mixed if `mixed(r)`, else both are wrong."""

    def __init__(self, mixed):
        self.mixed = mixed
        self.calls: list[list[int]] = []

    def sample(self, rows):
        self.calls.append(rows)
        return [rollout(float(self.mixed(row) and place), row=row) for row in rows for place in range(2)]


def sampler(engine: Engine, **options) -> DynamicSampler:
    prompts = PromptSampler(ROWS, seed=0, shuffle=False)
    given = {"batch_size": 4, "group_size": 2, "filter": Filter(max_rounds=5)} | options
    return DynamicSampler(prompts, engine.sample, **given)


def rows(batch):
    return [rollout.row for rollout in batch.rollouts[::2]]


def test_without_a_filter_the_next_prompts_are_the_batch():
    engine = Engine(lambda row: False)
    assert rows(sampler(engine, filter=None).next_batch()) == [0, 1, 2, 3]


def test_the_batch_is_refilled_and_its_order_is_the_datas():
    engine = Engine(lambda row: row % 2)
    batch = sampler(engine).next_batch()
    assert rows(batch) == [1, 3, 5, 7]
    assert engine.calls == [[0, 1, 2, 3], [4, 5, 6, 7]]  # half of the first four: the two missing need four more
    assert [rollout.row for rollout in batch.generated[::2]] == list(range(8))
    assert batch.metrics["dynamic_sampling/accept_rate"] == 0.5
    assert batch.metrics["dynamic_sampling/rounds"] == 2


def test_surplus_groups_come_first_in_the_next_batch():
    engine = Engine(lambda row: row == 1 or row > 3)
    run = sampler(engine)
    first = run.next_batch()
    assert rows(first) == [1, 4, 5, 6]
    assert first.metrics["dynamic_sampling/kept"] == 9  # three missing at a rate of a quarter: twelve sampled
    assert rows(run.next_batch()) == [7, 8, 9, 10]
    assert len(engine.calls) == 2


def test_when_rounds_run_out_the_batch_is_smaller():
    engine = Engine(lambda row: row == 2)
    run = sampler(engine, filter=Filter(max_rounds=2))
    assert rows(run.next_batch()) == [2]
    assert len(engine.calls) == 2
    assert run.next_batch().rollouts == []


def test_a_restored_run_samples_as_the_whole_one_would_have():
    whole = sampler(Engine(lambda row: row % 3))
    expected = [rows(whole.next_batch()) for _ in range(3)]
    first = sampler(Engine(lambda row: row % 3))
    begun = rows(first.next_batch())
    second = sampler(Engine(lambda row: row % 3))
    second.restore(first.state())
    assert [begun, rows(second.next_batch()), rows(second.next_batch())] == expected


def test_groups_may_be_chosen_by_a_metric_within_bounds():
    engine = Engine(lambda row: row % 2)
    chosen = Filter(key="accuracy", low=0.4, high=0.6)
    assert rows(sampler(engine, filter=chosen).next_batch()) == [1, 3, 5, 7]


def test_an_unknown_metric_is_named():
    run = sampler(Engine(lambda row: True), filter=Filter(key="acuracy"))
    with pytest.raises(
        RecipeError, match=r"dynamic_sampling.key: 'acuracy' is not given by the rewards; known are acc"
    ):
        run.next_batch()


def test_a_group_without_a_reward_is_never_kept():
    def sample(rows):
        return [rollout(math.nan, row=row) for row in rows for _ in range(2)]

    prompts = PromptSampler(ROWS, seed=0, shuffle=False)
    run = DynamicSampler(prompts, sample, batch_size=2, group_size=2, filter=Filter(max_rounds=1))
    assert run.next_batch().rollouts == []


def test_what_is_generated_ahead_is_what_comes_next():
    engine = Engine(lambda row: True)
    run = sampler(engine)
    ahead = run.peek()
    run.next_batch()
    assert engine.calls[0] == ahead


def test_rollouts_are_prepared_before_they_are_kept_for_a_later_batch():
    prepared = []
    run = sampler(Engine(lambda row: row == 1 or row > 3), before_keeping=prepared.extend)
    run.next_batch()
    assert [rollout.row for rollout in prepared[::2]] == list(range(7, 16))
