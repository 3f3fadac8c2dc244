import pytest

from grpo_plugin.config.validation import BestCheckpoint
from grpo_plugin.errors import RecipeError
from grpo_plugin.validation.best import BestSoFar

KNOWN = ["eval_accuracy_greedy", "eval_accuracy_sampled"]


def follow(values, mode="max"):
    best = BestSoFar(BestCheckpoint(metric="accuracy_greedy", mode=mode), KNOWN)
    return best, [best.add(step, {"eval_accuracy_greedy": value}) for step, value in values]


def test_the_largest_or_the_smallest_value_is_best_and_an_equal_one_is_not():
    best, improved = follow([(0, 0.5), (5, 0.4), (10, 0.7), (15, 0.7), (20, 0.6)])
    assert improved == [True, False, True, False, False]
    assert (best.step, best.value, best.waited) == (10, 0.7, 2)
    best, improved = follow([(0, 90.0), (5, 80.0), (10, 85.0)], mode="min")
    assert improved == [True, True, False] and (best.step, best.waited) == (5, 1)


def test_a_resumed_run_goes_on_where_it_was():
    best, _ = follow([(0, 0.5), (5, 0.4)])
    resumed = BestSoFar(BestCheckpoint(metric="accuracy_greedy"), KNOWN)
    resumed.restore(best.state())
    assert not resumed.add(10, {"eval_accuracy_greedy": 0.5}) and resumed.waited == 2


def test_a_validation_without_a_value_is_not_better():
    best = BestSoFar(BestCheckpoint(metric="accuracy_greedy"), KNOWN)
    values = [{}, {"eval_accuracy_greedy": 0.5}, {}, {"eval_accuracy_greedy": float("nan")}]
    assert [best.add(step, metrics) for step, metrics in enumerate(values)] == [False, True, False, False]
    assert (best.step, best.value, best.waited) == (1, 0.5, 2)


def test_an_unknown_metric_names_the_nearest_before_training():
    with pytest.raises(RecipeError, match=r"best\.metric: no figure .*; did you mean 'eval_accuracy_greedy'\?"):
        BestSoFar(BestCheckpoint(metric="accuracy_gredy"), KNOWN)
