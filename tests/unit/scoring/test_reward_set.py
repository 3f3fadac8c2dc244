from collections.abc import Callable

import pytest

from grpo_plugin.errors import RecipeError, RewardError
from grpo_plugin.scoring import RewardSet
from tests.unit.scoring.scored import score, scored

Loader = Callable[..., RewardSet]


def test_names_are_unique_and_weights_kept(loaded: Loader) -> None:
    entries = [
        {"function": "rewards.math.accuracy", "weight": 0.9},
        {"function": "rewards.r1v.accuracy", "weight": 0.1},
        {"function": "grading.py:length", "name": "words"},
        {"function": "grading.py:right"},
        {"function": "grading.py:right", "kwargs": {"bonus": 1.0}},
    ]
    rewards = loaded(*entries)
    assert rewards.names == ["math_accuracy", "r1v_accuracy", "words", "grading_right_3", "grading_right_4"]
    assert rewards.weights == [0.9, 0.1, 1.0, 1.0, 1.0]


def test_kwargs_reach_the_function_and_unknown_ones_stop(loaded: Loader) -> None:
    rewards = loaded({"function": "grading.py:right", "kwargs": {"bonus": 2.0}})
    assert score(rewards, ["4", "5"], answer=["4", "4"]) == [[3.0, 2.0]]
    with pytest.raises(RewardError, match=r"rewards.functions\[0\].*kwargs.bonsu.*did you mean 'bonus'"):
        loaded({"function": "grading.py:right", "kwargs": {"bonsu": 2.0}})


def test_columns_are_checked_before_launch(loaded: Loader) -> None:
    rewards = loaded("right", "length")
    rewards.check_columns(["prompt", "answer"])
    with pytest.raises(RewardError, match=r"asks for the column 'answer'.*prompt, solution.*did you mean 'solution'"):
        rewards.check_columns(["prompt", "solution"])
    with pytest.raises(RewardError, match="asks for one of the columns answer, ground_truth, solution"):
        loaded("batch_score").check_columns(["prompt"])


def test_easyr1_in_three_shapes(loaded: Loader) -> None:
    rewards = loaded("batch_score", "sequential_score", "older_score")
    judged = rewards.score(["p", ""], ["a", "b"], [[1, 2], [1]], {"ground_truth": ["a", "b"]})
    assert judged.by_function == [[0.5, 0.5], [1.0, 1.0], [0.0, 1.0]]
    assert judged.parts == {"batch_score/tokens": [2.0, 1.0]}
    assert judged.metrics == {"rewards/batch_score/tokens": 1.5}


def test_easyr1_gets_the_answer_that_the_recipe_names(loaded: Loader) -> None:
    """`prompts.answer_key` fills `answer`; a column of the data's own called `ground_truth` does not overrule it."""
    rewards = loaded("batch_score", "sequential_score", "older_score")
    columns = {"ground_truth": ["x", "y"], "answer": ["a", "b"]}
    judged = rewards.score(["", ""], ["a", "b"], [[1], [1]], columns)
    assert judged.by_function == [[0.5, 0.5], [1.0, 1.0], [1.0, 1.0]]


def test_async_functions(loaded: Loader) -> None:
    assert score(loaded("judge"), ["a", "bb"]) == [[1.0, 2.0]]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("wrong_length", "returned 1 values for 2 completions"),
        ("a_word", "returned a str; a reward returns a list"),
        ("a_list", r"returned \[1.0\] \(list\) for completion 0 of 2"),
        ("no_overall", "returned a dict without 'overall' for completion 0 of 2"),
    ],
)
def test_broken_functions_are_errors_that_say_so(loaded: Loader, name: str, words: str) -> None:
    with pytest.raises(RewardError, match=words):
        score(loaded(name), ["a", "b"])


@pytest.mark.parametrize(("text", "words"), [("nan", "nan"), ("infinite", "-inf"), ("raise", "ValueError: no idea")])
def test_errors_name_function_row_and_completion(loaded: Loader, text: str, words: str) -> None:
    with pytest.raises(RewardError) as error:
        score(loaded("naughty"), ["a", text], row=[17, 23])
    for part in ("rewards.functions[0] (grading.py:naughty)", words, "completion 1 of 2 (dataset row 23)", repr(text)):
        assert part in str(error.value)


def test_exclude_gives_none_and_counts(loaded: Loader) -> None:
    rewards = loaded("naughty", on_error="exclude", max_failed=0.5)
    judged = scored(rewards, ["a", "nan", "raise", "none"])
    assert judged.by_function == [[1.0, None, None, None]]
    assert sorted(judged.failures["naughty"]) == [1, 2]
    assert judged.metrics == {"rewards/naughty/failed": 0.5}
    with pytest.raises(RewardError, match=r"3 of 4 completions have no verdict, more than rewards.max_failed \(0.5\)"):
        score(rewards, ["a", "nan", "raise", "infinite"])


def test_a_function_that_takes_no_completions(loaded: Loader) -> None:
    with pytest.raises(RewardError, match=r"takes \(text\), and a reward function takes `completions`"):
        loaded("no_reward")


def test_the_trainers_objects_reach_those_who_ask(loaded: Loader) -> None:
    kept: dict[str, list[object]] = {}
    extras = {"trainer_state": 7, "log_extra": kept.__setitem__, "log_metric": print}
    judged = loaded("with_state", "length", "logs").score([""], ["abc"], [[1]], {}, extras)
    assert judged.by_function == [[7.0], [3.0], [0.0]]
    assert kept == {"words": ["abc"]}


def test_totals_by_hand(loaded: Loader) -> None:
    entries = [{"function": "grading.py:length", "weight": 2.0}, {"function": "grading.py:right", "weight": 0.5}]
    scores = [[1.0, 3.0, None, 5.0], [1.0, None, None, 1.0]]
    assert loaded(*entries).totals(scores) == [2.5, 6.0, None, 10.5]
    # Groups of two: 1 and 3 become ∓1 over their deviation √2 and TRL's guard; one score, or equal ones, become 0.
    normalised = loaded(*entries, aggregation="normalize_then_sum").totals(scores, group_size=2)
    scaled = 2.0 * 1.0 / (2**0.5 + 1e-4)
    assert normalised == pytest.approx([-scaled, scaled, None, 0.0])


def test_a_block_without_functions_is_refused(loaded: Loader) -> None:
    with pytest.raises(RecipeError, match=r"rewards\.functions"):
        loaded()


def test_modules_may_say_how_they_score(loaded: Loader) -> None:
    rewards = loaded({"function": "rewards.raiden.vrar"}, "length")
    [note] = rewards.notes()
    assert note.startswith("rewards.raiden: similarity by ")
