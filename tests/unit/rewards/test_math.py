import time

import pytest

from rewards.math import accuracy, compute_score, equivalent, extract, format
from tests.data.pairs import BARE, FORMATS, pairs, responses

PAIRS = list(pairs())


def graded(template: str) -> tuple[list[str], int]:
    """What is judged against its label, and how many of those were taken for right."""
    wrong, false_positives = [], 0
    for pair in PAIRS:
        text = (FORMATS["box"] if pair.category in BARE else template).format(pair.answer)
        verdict = accuracy([text], [pair.gold]) == [1.0]
        if verdict != pair.equal:
            wrong.append(f"{pair.category}: {pair.gold} | {pair.answer}")
            false_positives += verdict
    return wrong, false_positives


def test_at_least_500_pairs_and_all_categories() -> None:
    assert len(PAIRS) >= 1000
    assert len({pair.category for pair in PAIRS}) == 26
    assert 0.3 < sum(pair.equal for pair in PAIRS) / len(PAIRS) < 0.7


def test_every_pair_in_a_box() -> None:
    assert graded(FORMATS["box"]) == ([], 0)


@pytest.mark.parametrize("name", ["tag", "line", "free text"])
def test_other_formats(name: str) -> None:
    wrong, false_positives = graded(FORMATS[name])
    assert len(wrong) <= 0.01 * len(PAIRS), wrong
    assert false_positives <= 0.002 * len(PAIRS)


def test_whole_responses() -> None:
    wrong = [item for item in responses() if (accuracy([item.response], [item.gold]) == [1.0]) != item.right]
    assert not wrong


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("12345678901234567890", "12345678901234567891"),
        (r"\sqrt[3]{2}", r"\sqrt{2}"),
        ("2^{n+1}", "2^n+1"),
        ("3", "3 or 5"),
        ("1e-7", "2e-7"),
        ("1/2004!", "1/2006!"),
        ("5 cm", "5 m"),
        (r"\frac{1}{", r"\frac{1}{"),
        ("", ""),
    ],
)
def test_traps(gold: str, answer: str) -> None:
    assert not equivalent(answer, gold)
    assert not equivalent(gold, answer)


def test_no_answer_is_not_the_answer_none() -> None:
    assert accuracy(["", "I do not know.", r"\boxed{}"], ["None"] * 3) == [0.0, 0.0, 0.0]
    assert accuracy([r"\boxed{\text{None}}"], ["None"]) == [1.0]


ADVERSARIES = {
    "tower": r"\boxed{9^{9^{9^9}}}",
    "factorial": r"\boxed{99999999!}",
    "factorials": r"\boxed{((10!)!)!}",
    "parentheses": r"\boxed{" + "(" * 5000 + "1" + ")" * 5000 + "}",
    "bare parentheses": "(" * 5000 + "1" + ")" * 5000,
    "tags": "<reasoning></reasoning><answer>" * 3226,
    "newlines": "\n" * 100_000,
    "boxes": r"\boxed{" * 14_286,
    "nested boxes": r"\boxed{" * 7_000 + "}" * 7_000,
    "fractions": r"\boxed{" + r"\frac{" * 3_000 + "}",
    "malformed": r"\boxed{\frac{1}{\sqrt}}",
    "other digits": r"\boxed{٤٢}",
    "superscript digits": r"\boxed{" + "²" * 5_000 + "}",
    "null bytes": "\\boxed{4\x002}" + "\x00" * 50_000,
    "digits": r"\boxed{" + "9" * 90_000 + "}",
    "dollars": "$" * 100_000,
    "backslashes": "\\" * 100_000,
    "formulas": r"\(" * 50_000,
    "answers": "Answer: " * 12_500,
    "sentences": "The answer is not known. " * 4_000,
    "thoughts": "<think>" * 14_000,
    "roots": r"\boxed{" + r"\sqrt " * 300 + "2}",
    "sum of roots": r"\boxed{" + "+".join(rf"\sqrt{{{n}}}" for n in range(2, 150)) + "}",
    "power": r"\boxed{(x+1)^{99999}}",
    "matrix powers": r"\boxed{((\begin{pmatrix}x&y\\y&x\end{pmatrix}^{12})^{12})^{12}}",
    "matrix products": r"\boxed{" + r"\begin{pmatrix}x&y\\1&x\end{pmatrix}" * 60 + "}",
    "ragged matrix": r"\boxed{\begin{matrix}1&2\\3\end{matrix}^2}",
    "denials": "The answer is not 5. " * 4_000,
    "corrections": "The answer is 5? No, wait, " * 3_000,
    "special tokens": "<|im_start|>" * 8_000,
    "Chinese": r"\boxed{" + "一百" * 5_000 + "}",
    "signs": r"\boxed{" + r"\pm 1" * 300 + "}",
}
GOLDS = ("42", r"\sqrt{2}", "x+1", r"\{1, 2\}", "x = 5", "(1, 2]")


@pytest.mark.parametrize("name", ADVERSARIES)
def test_adversaries_score_low_and_return(name: str) -> None:
    for gold in GOLDS:
        began = time.process_time()  # what this process did, however busy the machine is
        assert accuracy([ADVERSARIES[name]], [gold]) == [0.0]
        assert time.process_time() - began < 2.0


def test_completions_as_messages_and_golds_of_other_types() -> None:
    message = [{"role": "assistant", "content": r"\boxed{5}"}]
    parts = [{"role": "assistant", "content": [{"type": "text", "text": r"\boxed{5}"}]}]
    assert accuracy([message, parts, r"\boxed{5}"], [5, "5", 5.0]) == [1.0, 1.0, 1.0]
    assert accuracy([r"\boxed{18}", r"\boxed{18}"], ["9 * 2 = 18\n#### 18", r"So it is \boxed{18}."]) == [1.0, 1.0]
    assert accuracy([r"\boxed{5}", r"\boxed{5}"], [["4", "5"], ["4", "6"]]) == [1.0, 0.0]
    assert accuracy([r"\boxed{5}"], [None]) == [0.0]


def test_format_wants_reasoning_first_and_then_a_complete_box() -> None:
    good = r"<think>a</think> \boxed{5}"
    bad = [r"\boxed{5}", r"<think>a</think> 5", r"<think>\boxed{5}</think>", r"<think>a</think>\boxed{5", "x" + good]
    assert format([good, *bad]) == [1.0, 0.0, 0.0, 0.0, 0.0, 0.0]


def test_format_wants_something_in_each_part() -> None:
    empty = [r"<think></think>\boxed{5}", "<think> \n</think>\\boxed{5}", r"<think>a</think>\boxed{}"]
    empty += [r"<think>a</think>\boxed{ }", r"<think>a</think>\boxed{\text{}}", r"<think>a</think>\boxed{\quad}"]
    assert format(empty) == [0.0] * 6
    assert format([r"<think>a</think>\boxed{\pi}", r"<think>a</think>\boxed{0}"]) == [1.0, 1.0]


def test_tolerance_is_a_share_of_the_gold_answer_and_0_by_default() -> None:
    texts, golds = (
        [r"\boxed{3.14}", r"\boxed{99}", r"\boxed{0.33}", r"\boxed{(1, 2.02)}"],
        [r"\pi", "100", r"\frac13", "(1, 2)"],
    )
    assert accuracy(texts, golds) == [0.0] * 4
    assert accuracy(texts, golds, tolerance=0.01) == [1.0] * 4
    assert accuracy(texts, golds, tolerance=0.001) == [1.0, 0.0, 0.0, 0.0]
    assert accuracy([r"\boxed{x}", r"\boxed{-100}", r"\boxed{0.001}"], ["100", "100", "0"], tolerance=0.5) == [0.0] * 3
    assert accuracy(texts, golds) == [0.0] * 4, "verdicts with a tolerance are not kept for those without"


def test_compute_score_is_easyr1s() -> None:
    inputs = [{"response": r"<think>a</think>\boxed{5}", "response_length": 9, "ground_truth": "5"}]
    assert compute_score(inputs, format_weight=0.25) == [{"overall": 1.0, "format": 1.0, "accuracy": 1.0}]
    inputs[0]["ground_truth"] = "6"
    assert compute_score(inputs, format_weight=0.25) == [{"overall": 0.25, "format": 1.0, "accuracy": 0.0}]


def test_extract_gives_the_last_outermost_box() -> None:
    assert extract(r"\boxed{3} and \boxed{x = \boxed{5}}") == r"x = \boxed{5}"
    assert extract(r"\boxed{\boxed{\frac{1}{2}}}") == r"\frac{1}{2}"
    assert extract(r"\boxed{5} then \boxed{") is None
