"""What holds for all numbers, expressions and texts, tried on random ones."""

import re
import time
from fractions import Fraction

from hypothesis import example, given, settings
from hypothesis import strategies as st

from grpo_plugin.scoring.mathematics import equivalent
from grpo_plugin.scoring.mathematics.compare.equivalence import matches_any
from grpo_plugin.scoring.mathematics.extract.final_answer import extract, joined_boxes
from grpo_plugin.scoring.mathematics.parse.reading import read
from tests.unit.scoring.mathematics.latex_pieces import PIECES

INTEGERS = st.integers(-(10**25), 10**25)
SMALL = st.integers(-9, 9)
RATIONALS = st.fractions(max_denominator=10**6)
# Texts of LaTeX pieces, well-formed or not.
TEXTS = st.lists(st.sampled_from(PIECES), max_size=12).map(" ".join) | st.text(max_size=30)


@given(INTEGERS, INTEGERS)
def test_integers_are_equal_exactly_when_they_are(left: int, right: int) -> None:
    assert equivalent(str(left), str(right)) == (left == right)
    assert equivalent(f"{left:,}", str(left))
    assert not equivalent(str(left + 1), str(left))


@given(RATIONALS)
def test_a_rational_in_all_its_forms(value: Fraction) -> None:
    top, bottom = value.numerator, value.denominator
    gold = rf"\frac{{{top}}}{{{bottom}}}"
    for answer in (f"{top}/{bottom}", rf"\dfrac{{{7 * top}}}{{{7 * bottom}}}", rf"-\frac{{{-top}}}{{{bottom}}}"):
        assert equivalent(answer, gold)
    assert not equivalent(f"{top + 1}/{bottom}", gold)


@given(SMALL, SMALL, SMALL)
def test_expanded_and_factored(a: int, b: int, c: int) -> None:
    factored = f"(x+({a}))(x+({b}))+({c})"
    expanded = f"x^2+({a + b})x+({a * b + c})"
    assert equivalent(expanded, factored)
    assert not equivalent(expanded + "+1", factored)


@given(st.lists(SMALL, min_size=1, max_size=5, unique=True), st.randoms())
def test_sets_in_any_order_and_tuples_in_one(items: list[int], random: object) -> None:
    shuffled = items.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    gold, answer = (", ".join(map(str, order)) for order in (items, shuffled))
    assert equivalent(rf"\{{{answer}\}}", rf"\{{{gold}\}}")
    assert equivalent(answer, gold)
    if len(items) > 1:
        assert equivalent(f"({answer})", f"({gold})") == (items == shuffled)


@given(TEXTS, TEXTS)
@settings(max_examples=2_000, deadline=None)
@example("9^{9^{9^9}}", "9^{9^{9^9}}+1")
def test_no_text_is_an_exception_and_readable_golds_match_themselves(left: str, right: str) -> None:
    began = time.process_time()  # what this process did, however busy the machine is
    extract(left)
    joined_boxes(left)
    matches_any(left, [right])
    assert time.process_time() - began < 2.0
    reading = read(left)
    if not reading.beyond:
        readable = bool(reading.nodes or reading.choice) or re.search(r"\w.*\w", reading.text, re.DOTALL) is not None
        assert equivalent(left, left) == (reading.wellformed and readable)
