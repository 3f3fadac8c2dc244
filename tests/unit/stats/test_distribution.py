import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grpo_plugin.stats.distribution import QUANTILES, Distribution
from grpo_plugin.stats.recommend import recommend
from grpo_plugin.stats.show import histogram

LENGTHS = st.lists(st.integers(0, 400), min_size=1, max_size=60)


def of(*chunks: list[int]) -> Distribution:
    distribution = Distribution()
    for chunk in chunks:
        distribution.add(chunk)
    return distribution


@given(LENGTHS, LENGTHS)
def test_figures_are_those_of_numpy_over_all_rows(first, second):
    everything = np.array(first + second)
    found = of(first, [], second)
    expected = {name: np.quantile(everything, share) for name, share in QUANTILES.items()}
    edges = {"rows": len(everything), "min": everything.min(), "mean": everything.mean(), "max": everything.max()}
    assert found.summary() == pytest.approx({**edges, **expected}, abs=0.0051)
    assert [found.over(limit) for limit in (0, 7, 400, 999)] == [
        (everything > limit).sum() for limit in (0, 7, 400, 999)
    ]
    again = Distribution.from_json(json.loads(json.dumps(found.to_json())))
    assert again.counts.tolist() == found.counts.tolist()
    assert sum(rows for _, _, rows in found.bins(7)) == len(everything)
    assert len(found.bins(7)) <= 7


def test_outliers_share_one_bin():
    found = of([100 + i % 100 for i in range(5000)], [6000, 7000])
    assert found.usual == 199
    assert found.bins(5) == [(100, 124, 1250), (125, 149, 1250), (150, 174, 1250), (175, 199, 1250), (200, 7000, 2)]
    assert of([1] * 10, [2]).bins(16) == [(1, 1, 10), (2, 2, 1)]


def test_memory_follows_the_longest_row_not_the_rows():
    distribution = of(*[[5, 100]] * 1000)
    assert distribution.rows == 2000
    assert len(distribution.counts) == 101


def test_bars_are_in_proportion_and_never_vanish():
    lines = str(histogram(of([1] * 80, [2] * 40, [3], [16]))).splitlines()
    bars = [line.split()[1] for line in lines[:3]]
    assert bars == ["█" * 40, "█" * 20, "▌"]
    assert lines[3].split()[1:] == ["0"]
    assert str(histogram(of([1] * 10_000, [2]))).splitlines()[1].split()[1] == "▏"


def test_the_recommendation_holds_all_prompts_unless_few_are_far_longer():
    even = of(list(range(1, 201)))
    assert recommend(even, Distribution()).to_json() == {
        "prompts.max_length": 256,
        "trl.max_completion_length": 256,
        "sequence_len": 512,
        "vllm.max_model_len": 512,
    }
    outlier = of([100] * 9999, [5000])
    advice = recommend(outlier, Distribution())
    assert advice.max_length == 128
    assert advice.because[0] == "holds 99.9 % of the prompts; 1 are longer, up to 5,000 tokens"


def test_completions_are_the_best_ground_then_the_recipe_then_the_answers():
    prompt, answer, completion = of([10]), of([100] * 10), of([700, 800])
    assert recommend(prompt, answer, completion, 512).max_completion_length == 832
    assert recommend(prompt, answer, None, 512).max_completion_length == 512
    assert recommend(prompt, answer).max_completion_length == 448
    assert recommend(prompt, of([3])).max_completion_length == 256
