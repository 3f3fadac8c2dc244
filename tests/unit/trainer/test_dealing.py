"""Every completion is run once, on one rank, within the budget; ranks take the same number of passes."""

import pytest

from grpo_plugin.trainer.dealing import deal, steps

LENGTHS = [5, 90, 20, 30, 44, 7, 61, 12, 33, 8]


def everyones(lengths, ranks, ticks, **options):
    return [deal(lengths, rank=rank, ranks=ranks, ticks=ticks, **options) for rank in range(ranks)]


@pytest.mark.parametrize("ranks", [1, 2, 3])
@pytest.mark.parametrize("ticks", [1, 2, 4])
@pytest.mark.parametrize("options", [{"micro": 2}, {"micro": 3}, {"micro": 1, "budget": 100}])
def test_all_are_dealt_once_and_ranks_keep_step(ranks, ticks, options):
    shares = everyones(LENGTHS, ranks, ticks, **options)
    assert sorted(i for share in shares for tick in share for passes in tick for i in passes) == list(range(10))
    assert len({tuple(len(tick) for tick in share) for share in shares}) == 1
    assert all(len(share) == ticks for share in shares)


def test_number_and_budget_hold():
    assert all(len(indices) <= 3 for tick in deal(LENGTHS, rank=0, ranks=1, ticks=2, micro=3) for indices in tick)
    for tick in deal(LENGTHS, rank=0, ranks=1, ticks=2, micro=1, budget=100):
        assert all(sum(LENGTHS[i] for i in indices) <= 100 for indices in tick)


def test_a_few_passes_go_to_the_last_ticks_where_gradients_are_shared():
    assert deal([5, 5], rank=0, ranks=1, ticks=3, micro=2) == [[], [], [[0, 1]]]
    assert deal([5], rank=1, ranks=2, ticks=2, micro=1) == [[], [[]]]
    assert deal([], rank=0, ranks=2, ticks=2, micro=1) == [[], []]


def test_full_batches_are_a_pass_per_tick():
    assert deal([1] * 8, rank=0, ranks=2, ticks=2, micro=2) == [[[4, 5]], [[0, 1]]]
    assert deal([1] * 8, rank=1, ranks=2, ticks=2, micro=2) == [[[6, 7]], [[2, 3]]]


def test_steps_share_a_batch_evenly():
    assert [list(step) for step in steps(6, 3)] == [[0, 1], [2, 3], [4, 5]]
    assert [len(step) for step in steps(7, 2)] == [3, 4]
    assert [len(step) for step in steps(0, 2)] == [0, 0]
