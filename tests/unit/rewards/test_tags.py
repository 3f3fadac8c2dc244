from rewards import r1v, tags


def test_structure_wants_every_tag_once_in_order_and_filled() -> None:
    good = "<plan>a</plan>\n<code>b</code>"
    bad = [
        "<code>b</code><plan>a</plan>",
        "<plan>a</plan>",
        "<plan></plan><code>b</code>",
        "<plan>a</plan> so <code>b</code>",
        good + "<plan>c</plan>",
        good + " end",
    ]
    assert tags.structure([good, *bad], tags=["plan", "code"]) == [1.0] + [0.0] * len(bad)
    assert tags.structure([good + " end"], tags=["plan", "code"], outside=True) == [1.0]
    assert tags.structure(["<plan>a</plan>", "", "<code>b</code>"], tags=["plan", "code"], partial=True) == [
        0.5,
        0.0,
        0.0,
    ]


def test_last_and_in_order() -> None:
    assert tags.last("<a>1</a><a>2</a>", "a") == "2"
    assert tags.last("<a>1", "a") is None
    assert tags.last("</a>", "a") is None
    assert tags.in_order("abcd", "a", "c", "d")
    assert not tags.in_order("abcd", "a", "c", "b", "d")
    assert not tags.in_order("ab", "ab", "b")


def test_r1v_format_and_accuracy() -> None:
    good = "<think>I see 3 cubes.</think>\n<answer>3</answer>"
    texts = [good, "<answer>3</answer>", good + ".", "<think>a</think> 3 <answer>3</answer>", good + good]
    assert r1v.format(texts) == [1.0, 0.0, 0.0, 0.0, 0.0]
    empty = [
        "<think></think><answer>3</answer>",
        "<think>a</think><answer> </answer>",
        "<think>\n</think><answer></answer>",
    ]
    assert r1v.format(empty) == [0.0, 0.0, 0.0]
    assert r1v.accuracy([good, "3", good, "<answer>3"], ["<answer> 3 </answer>", "3", "4", "3"]) == [1.0, 1.0, 0.0, 0.0]


def test_r1v_compute_score_is_sequential() -> None:
    row = {"response": "<answer>3</answer>", "response_length": 4, "ground_truth": "3"}
    assert r1v.compute_score(row) == {"overall": 0.5, "format": 0.0, "accuracy": 1.0}
    assert r1v.compute_score(row, format_weight=0.2)["overall"] == 0.8
