"""Two models side by side: paired differences worked out by hand, and the page that shows them."""

import math

import pytest

from grpo_plugin.console.comparison_page import lines, page
from grpo_plugin.validation.comparison import Answered, Comparison, Difference

PROMPTS = ["1+1=", "2+2=", "<b>3+3=</b>"]


def answered(total: list[list[float | None]], *texts: str) -> Answered:
    return Answered([[text] * len(scores) for text, scores in zip(texts, total, strict=True)], {"total": total})


# Means by prompt: 0.5, 1, 0 and then 1, 0.5, 1.
COMPARISON = Comparison(
    PROMPTS,
    ["2", None, "6"],
    answered([[0.0, 1.0], [1.0, 1.0], [0.0, None]], "two", "4", "9"),
    answered([[1.0, 1.0], [1.0, 0.0], [1.0, 1.0]], "2", "5", "6<script>"),
)


def test_the_difference_is_paired_by_prompt() -> None:
    (found,) = COMPARISON.differences()
    # changes +0.5, -0.5, +1: mean 1/3, standard deviation sqrt(7/12)
    assert (found.base, found.trained, found.prompts, found.better, found.worse) == (
        0.5,
        pytest.approx(2.5 / 3),
        3,
        2,
        1,
    )
    assert found.change == pytest.approx(1 / 3)
    assert found.stderr == pytest.approx(math.sqrt(7 / 12) / math.sqrt(3))


def test_prompts_without_a_score_on_one_side_are_left_out() -> None:
    base, trained = answered([[None], [0.25]], "a", "b"), answered([[1.0], [0.25]], "a", "b")
    (found,) = Comparison(PROMPTS[:2], [None, None], base, trained).differences()
    assert found == Difference("total", 0.25, 0.25, None, 1, 0, 0)
    nothing = answered([[None]], "a")
    assert list(Comparison(PROMPTS[:1], [None], nothing, nothing).differences()) == []


def test_the_lines() -> None:
    assert [line.split() for line in lines(COMPARISON)] == [
        ["base", "trained", "change", "±", "better", "worse", "prompts"],
        ["total", "0.500", "0.833", "+0.333", "0.441", "2", "1", "3"],
    ]


def test_the_page_shows_every_prompt_once_the_largest_change_first_and_runs_nothing_of_a_model() -> None:
    text = page(COMPARISON, "base/model", "mine")
    assert text.count("<article") == 3 and text.count("data-kind=better") == 2 and text.count("data-kind=worse") == 1
    assert text.index("3+3=") < text.index("1+1=") < text.index("2+2=")
    assert "&lt;b&gt;3+3=&lt;/b&gt;" in text and "6&lt;script&gt;" in text and "6<script>" not in text
    assert "http" not in text, "it opens without a network"
