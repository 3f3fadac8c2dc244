"""Dynamic sampling: what is drawn, what is kept, and for when."""

import math

import pytest
from datasets import Dataset

from grpo_plugin.config.algorithm import DynamicSampling
from grpo_plugin.errors import RecipeError
from grpo_plugin.trainer.feed import Feed
from grpo_plugin.trainer.rollouts import Rollouts
from tests.unit.trainer.samples import sample

ROWS = Dataset.from_dict({"prompt": [str(i) for i in range(1000)]})


class Engine:
    """Row r's group of two is mixed if `mixed(r)`, else both are wrong."""

    def __init__(self, mixed):
        self.mixed = mixed
        self.calls: list[list[int]] = []

    def draw(self, rows):
        self.calls.append(rows)
        return [sample(float(self.mixed(row) and place), row=row) for row in rows for place in range(2)]


def rollouts(engine: Engine, **options) -> Rollouts:
    feed = Feed(ROWS, seed=0, shuffle=False)
    given = {"prompts": 4, "group_size": 2, "chosen": DynamicSampling(max_rounds=5)} | options
    return Rollouts(feed, engine.draw, **given)


def rows(batch):
    return [sample.row for sample in batch[::2]]


def test_without_a_filter_the_next_prompts_are_the_batch():
    engine = Engine(lambda row: False)
    assert rows(rollouts(engine, chosen=None).next()) == [0, 1, 2, 3]


def test_the_batch_is_refilled_and_its_order_is_the_datas():
    engine = Engine(lambda row: row % 2)
    run = rollouts(engine)
    assert rows(run.next()) == [1, 3, 5, 7]
    assert engine.calls == [[0, 1, 2, 3], [4, 5, 6, 7]]  # half of the first four: the two missing need four more
    assert run.metrics["dynamic_sampling/accept_rate"] == 0.5
    assert run.metrics["dynamic_sampling/rounds"] == 2


def test_surplus_groups_come_first_in_the_next_batch():
    engine = Engine(lambda row: row == 1 or row > 3)
    run = rollouts(engine)
    assert rows(run.next()) == [1, 4, 5, 6]
    assert run.metrics["dynamic_sampling/kept"] == 9  # three were missing, at a rate of a quarter: twelve were drawn
    assert rows(run.next()) == [7, 8, 9, 10]
    assert len(engine.calls) == 2


def test_when_rounds_run_out_it_trains_on_what_there_is():
    engine = Engine(lambda row: row == 2)
    run = rollouts(engine, chosen=DynamicSampling(max_rounds=2))
    assert rows(run.next()) == [2]
    assert len(engine.calls) == 2
    assert run.next() == []


def test_ranks_can_share_every_draw():
    engine = Engine(lambda row: row > 2)
    run = rollouts(engine, multiple=3)
    run.next()
    assert all(len(call) % 3 == 0 for call in engine.calls)


def test_a_restored_run_draws_as_the_whole_one_would_have():
    whole = rollouts(Engine(lambda row: row % 3))
    expected = [rows(whole.next()) for _ in range(3)]
    first = rollouts(Engine(lambda row: row % 3))
    begun = rows(first.next())
    second = rollouts(Engine(lambda row: row % 3))
    second.restore(first.state())
    assert [begun, rows(second.next()), rows(second.next())] == expected


def test_groups_may_be_chosen_by_a_metric_within_bounds():
    engine = Engine(lambda row: row % 2)
    chosen = DynamicSampling(key="accuracy", low=0.4, high=0.6)
    assert rows(rollouts(engine, chosen=chosen).next()) == [1, 3, 5, 7]


def test_an_unknown_metric_is_named():
    run = rollouts(Engine(lambda row: True), chosen=DynamicSampling(key="acuracy"))
    with pytest.raises(
        RecipeError, match=r"dynamic_sampling.key: 'acuracy' is not given by the rewards; known are acc"
    ):
        run.next()


def test_a_group_that_nothing_could_score_is_never_kept():
    def draw(rows):
        return [sample(math.nan, row=row) for row in rows for _ in range(2)]

    run = Rollouts(
        Feed(ROWS, seed=0, shuffle=False), draw, prompts=2, group_size=2, chosen=DynamicSampling(max_rounds=1)
    )
    assert run.next() == []


def test_what_is_drawn_ahead_is_what_comes_next():
    engine = Engine(lambda row: True)
    run = rollouts(engine)
    ahead = run.ahead()
    run.next()
    assert engine.calls[0] == ahead
