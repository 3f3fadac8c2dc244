import pytest

from rewards import gsm8k

GOOD = "<reasoning>\n9 * 2\nis 18\n</reasoning>\n<answer>\n18\n</answer>\n"


def test_correctness_is_2_for_the_number_in_the_tag() -> None:
    texts = [GOOD, GOOD.replace("18\n</a", "1,800\n</a"), "18", "<answer>18", GOOD.replace("18\n</a", "19\n</a")]
    assert gsm8k.correctness(texts, ["9 * 2 = 18 #### 18", "1800", "18", "18", "18"]) == [2.0, 2.0, 0.0, 0.0, 0.0]


def test_integer() -> None:
    answers = ["18", " -5 ", "18.0", "1/2", "", "²", "٣", "18 eggs"]
    texts = [f"<answer>{answer}</answer>" for answer in answers]
    assert gsm8k.integer(texts) == [0.5, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]


def test_strict_format_wants_every_newline() -> None:
    bad = [
        GOOD.rstrip("\n"),
        GOOD.replace("<reasoning>\n", "<reasoning>"),
        GOOD.replace("</reasoning>\n<answer>", "</reasoning> <answer>"),
        " " + GOOD,
        GOOD + "x\n",
        GOOD + GOOD,
        "",
    ]
    assert gsm8k.strict_format([GOOD, *bad]) == [0.5] + [0.0] * len(bad)


def test_soft_format_wants_order_and_tags_alone() -> None:
    texts = [
        GOOD,
        "<reasoning>a</reasoning> <answer>5</answer> and more",
        "<answer>5</answer><reasoning>a</reasoning>",
        "<reasoning>a</reasoning> so <answer>5</answer>",
        "<reasoning>a</reasoning><answer>5",
    ]
    assert gsm8k.soft_format(texts) == [0.5, 0.5, 0.0, 0.0, 0.0]


def test_xml_count_by_hand() -> None:
    assert gsm8k.xml_count([GOOD]) == [0.5]
    assert gsm8k.xml_count(["<reasoning>\na"]) == [0.125]
    # Four tags, and ten characters after the last: 0.010 for the third tag, 0.010 for the fourth.
    assert gsm8k.xml_count([GOOD + "0123456789"]) == pytest.approx([0.5 - 0.010 - 0.010])
    # No newline after the last tag, and three characters in its place; an answer that is not closed.
    assert gsm8k.xml_count([GOOD.rstrip("\n")]) == [0.5]
    assert gsm8k.xml_count([GOOD.rstrip("\n") + "xyz"]) == pytest.approx([0.5 - 0.003 - 0.003])
    long = GOOD.replace("9 * 2", "9 * 2 " * 500)
    assert gsm8k.xml_count([long, long.rstrip("\n"), long.replace("\n</answer>\n", "")]) == [0.5, 0.5, 0.375]
    assert gsm8k.xml_count(["", "<reasoning></reasoning><answer></answer>"]) == [0.0, 0.0]
