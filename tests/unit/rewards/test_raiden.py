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
