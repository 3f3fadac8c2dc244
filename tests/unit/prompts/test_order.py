"""The order of prompts is a function of seed and position alone."""

import numpy as np
import pytest

from grpo_plugin.errors import RecipeError
from grpo_plugin.prompts.mixture import mix, shares
from grpo_plugin.prompts.order import permutation, sequence
from grpo_plugin.recipe.sources import Source


def test_permutations_are_permutations_and_differ_by_seed_and_epoch():
    seen = {tuple(permutation(50, seed, epoch)) for seed in (0, 1, -1) for epoch in (0, 1)}
    assert len(seen) == 6
    assert all(sorted(order) == list(range(50)) for order in seen)


def test_the_permutation_never_changes_between_versions():
    assert permutation(8, seed=42, epoch=0).tolist() == [6, 2, 5, 7, 0, 4, 3, 1]


def test_places_are_uniform():
    counts = np.zeros((6, 6))
    for seed in range(3000):
        counts[np.arange(6), permutation(6, seed, 0)] += 1
    assert np.abs(counts / 500 - 1).max() < 0.2  # expected 500 each, standard deviation 20


def test_places_run_through_one_pass_into_the_next():
    first, second = permutation(7, 5, 0).tolist(), permutation(7, 5, 1).tolist()
    assert sequence(7, 5, first=0, number=14).tolist() == first + second
    assert sequence(7, 5, first=4, number=6).tolist() == first[4:] + second[:3]
    assert sequence(3, 5, first=7, number=2, shuffle=False).tolist() == [1, 2]


def test_a_batch_may_be_larger_than_the_data():
    drawn = sequence(2, 0, first=1, number=6)
    assert np.bincount(drawn).tolist() == [3, 3]


def source(weight: float | None) -> Source:
    return Source("x.jsonl", weight, None)


def test_shares_add_up():
    assert shares(10, [1, 1, 1]) == [4, 3, 3]
    assert shares(1000, [0.7, 0.3]) == [700, 300]


def test_a_mixture_repeats_small_sources_and_samples_large_ones():
    mixture = mix("prompts.train", [source(1), source(3)], [8, 4], seed=0)
    small = mixture.indices[mixture.indices >= 8]
    large = mixture.indices[mixture.indices < 8]
    assert len(mixture.indices) == 12
    assert len(large) == len(set(large)) == 3
    assert sorted(np.bincount(small - 8).tolist()) == [2, 2, 2, 3]
    assert "x.jsonl 3 (0.38 of its 8 rows), x.jsonl 9 (2.25 of its 4 rows)" in mixture.note
    again = mix("prompts.train", [source(1), source(3)], [8, 4], seed=0)
    assert mixture.indices.tolist() == again.indices.tolist()


def test_no_weights_no_mixture_and_no_vanishing_weight():
    assert mix("prompts.train", [source(None)], [3], seed=0) is None
    with pytest.raises(
        RecipeError, match=r"prompts.train: weight 0.001 of 'x.jsonl' gives no row in an epoch; raise it"
    ):
        mix("prompts.train", [source(1), source(0.001)], [8, 4], seed=0)
