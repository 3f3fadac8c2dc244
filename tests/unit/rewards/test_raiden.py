import pytest

from rewards import raiden

ANSWER = "I am Li Bai, the poet."


def reply(text: str, thought: str = "She asks for my name.") -> str:
    return f"<think>{thought}</think><answer>{text}</answer>"


def test_the_answer_itself_is_1_whatever_its_punctuation() -> None:
    assert raiden.accuracy_of(reply("i am Li Bai the poet"), ANSWER) == 1.0
    assert raiden.accuracy_of("<think>a</think>I am Li Bai, the poet!", ANSWER) == 1.0


def test_keywords_from_0_3_to_0_9() -> None:
    words = ["Li Bai", "poet", "Tang", "wine"]
    assert raiden.accuracy_of(reply("Li Bai, a poet of Tang, fond of wine"), "x", words) == pytest.approx(0.9)
    assert raiden.accuracy_of(reply("Li Bai, of course"), "x", words) == pytest.approx(0.3 + 0.6 / 4)
    assert raiden.accuracy_of(reply("nobody"), "x", "Li Bai, poet") == 0.0


def test_a_heap_of_keywords_is_no_answer() -> None:
    words = ["Li Bai", "poet", "Tang", "wine"]
    heaps = [
        "Li Bai poet Tang wine",
        "Li Bai, poet, Tang, wine.",
        "Li Bai and the poet and Tang and wine",
        "wine. " * 9,
    ]
    heaps += ["Li Bai. Poet. Tang. Wine. In short, therefore, overall."]
    assert [raiden.accuracy_of(reply(heap), "x", words) for heap in heaps] == [0.0] * 5
    # One of four keywords in a sentence, the others in a heap behind it.
    assert raiden.accuracy_of(reply("They call me Li Bai. Poet, Tang, wine."), "x", words) == pytest.approx(0.45)
    # Five words of keywords and three others, a, of, fond: enough for half of five; with two others it is not.
    assert raiden.accuracy_of(reply("Li Bai, a poet fond of Tang wine"), "x", words) == pytest.approx(0.9)
    assert raiden.accuracy_of(reply("Li Bai, poet fond of Tang wine"), "x", words) == 0.0
    assert raiden.accuracy_of(reply("我是李白，爱喝酒"), "x", ["李白", "酒"]) == pytest.approx(0.9)
    assert raiden.accuracy_of(reply("李白，诗人，唐朝"), "x", ["李白", "诗人", "唐朝"]) == 0.0
    text = reply("Li Bai poet Tang wine", "because so therefore li bai poet tang wine " + "word " * 60)
    assert raiden.vrar([text], ["x"], [words])[0]["accuracy"] == 0.0


def test_similarity_from_0_3_to_0_6() -> None:
    # Four of five and of five tokens shared: F1 = 0.8, so 0.3 + 0.3 * 0.8.
    assert raiden.token_f1("one two three four five", "one two three four six") == pytest.approx(0.8)
    assert raiden.accuracy_of(reply("one two three four five"), "one two three four six") == pytest.approx(0.54)
    assert raiden.accuracy_of(reply("one two"), "three four") == 0.0
    assert raiden.accuracy_of(reply("我是李白"), "我是李白啊") > 0.5


def test_format_and_thinking() -> None:
    assert raiden.format_of(reply("I am Li Bai. I write poems.")) == 1.0
    assert raiden.format_of("I am Li Bai") == 0.0
    assert raiden.thinking_of("no thoughts", ANSWER) == 0.0
    # Sixty tokens, three steps, all words of the answer: everything.
    thought = "because so therefore i am li bai the poet " + "word " * 60
    assert raiden.thinking_of(reply("x", thought), ANSWER) == pytest.approx(1.0)


def test_vrar_weighs_its_parts() -> None:
    [score] = raiden.vrar([reply(ANSWER)], [ANSWER], accuracy_weight=1.0, format_weight=0.0, thinking_weight=0.0)
    assert score["overall"] == score["accuracy"] == 1.0
    [score] = raiden.vrar([reply(ANSWER)], [ANSWER])
    expected = 0.5 * score["accuracy"] + 0.3 * score["format"] + 0.2 * score["thinking"]
    assert score["overall"] == pytest.approx(expected)
    assert raiden.vrar([""], [ANSWER])[0]["overall"] == 0.0
    assert "similarity" in raiden.describe()
