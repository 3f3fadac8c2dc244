import json
from functools import partial

import pytest

from grpo_plugin.quickstart import problems
from grpo_plugin.quickstart.additions import Addition
from grpo_plugin.quickstart.problems import write_rows

split = partial(problems.split, Addition)


@pytest.mark.parametrize(
    ("left", "right", "worked"),
    [
        (47, 38, "7+8=15, 4+3+1=8. Answer: 85"),
        (12, 34, "2+4=6, 1+3=4. Answer: 46"),
        (60, 50, "0+0=0, 6+5=11. Answer: 110"),
        (99, 99, "9+9=18, 9+9+1=19. Answer: 198"),
        (95, 15, "5+5=10, 9+1+1=11. Answer: 110"),
    ],
)
def test_the_working_is_right(left, right, worked):
    assert Addition(left, right).worked() == [worked]


def test_question_and_answer():
    problem = Addition(47, 38)
    assert problem.question == "What is 47 + 38?"
    assert problem.answer == "85"


@pytest.mark.parametrize(
    ("left", "right", "estimate"), [(47, 38, "90"), (44, 34, "70"), (45, 14, "60"), (95, 99, "200")]
)
def test_an_estimate_rounds_both_numbers(left, right, estimate):
    assert Addition(left, right).estimated() == [f"Answer: {estimate}"]


def test_estimates_are_seldom_right():
    """Where the ones are 0 and 0, or what is lost by rounding one number is won by rounding the other."""
    problems = split(seed=0).train
    right = sum(problem.estimated() == [f"Answer: {problem.answer}"] for problem in problems)
    assert 0.08 < right / len(problems) < 0.12


def test_every_problem_is_on_one_side_and_so_is_its_mirror_image():
    parts = split(seed=3, held_out_pairs=128)
    train, held_out = set(parts.train), set(parts.held_out)
    assert len(parts.train) + len(parts.held_out) == len(train | held_out) == 90 * 90
    mirrored = {Addition(problem.right, problem.left) for problem in held_out}
    assert mirrored == held_out


def test_the_split_depends_on_the_seed_alone():
    assert split(seed=1) == split(seed=1)
    assert split(seed=1).held_out != split(seed=2).held_out


def test_rows_on_disk(tmp_path):
    write_rows([Addition(47, 38), Addition(10, 11)], tmp_path / "rows.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert rows == [
        {"question": "What is 47 + 38?", "answer": "85"},
        {"question": "What is 10 + 11?", "answer": "21"},
    ]
