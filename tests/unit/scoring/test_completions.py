import pytest

from grpo_plugin.scoring.completions import opening_of, text_of, visible_completion


@pytest.mark.parametrize(
    ("prompt", "opening"),
    [
        ("<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n<think>\n", "<think>\n"),
        ("<｜User｜>hi<｜Assistant｜><think>\n", "<think>\n"),
        ("A conversation. User: hi Assistant: <think>", "<think>"),
        ("<|assistant|>\n<response>\n<think>\n", "<response>\n<think>\n"),
        ("<|im_start|>assistant\n", ""),
        ("<|im_start|>assistant\n<think>\n\n</think>\n\n", ""),
        ("Put your reasoning between <think> and </think>.\nAssistant:", ""),
        ("<user>hi</user><assistant>", ""),
        ("<assistant>\n<think>\n", "<think>\n"),
        ("is 1 <2> 1", ""),
        ("", ""),
        ("<a>" * 10_000, "<a>" * 66),
    ],
)
def test_what_a_prompt_opens_at_its_end(prompt: str, opening: str) -> None:
    assert opening_of(prompt) == opening


def test_the_completion_that_rewards_see() -> None:
    assert visible_completion("Assistant:\n<think>\n", "a\n</think>\nb") == "<think>\na\n</think>\nb"
    assert visible_completion("Assistant:\n", "a") == "a"
    assert visible_completion("Assistant:\nSure. <think> So", " a", prefill="Sure. <think> So") == "Sure. <think> So a"


def test_text_of_messages_and_parts() -> None:
    assert text_of([{"role": "assistant", "content": [{"type": "image"}, {"type": "text", "text": "a"}]}]) == "a"
    assert text_of([{"content": "a"}, {"content": None}, "b"]) == "ab"
    assert text_of(None) == ""


def test_the_turns_of_a_conversation_are_not_glued_together() -> None:
    calls = [{"type": "function", "function": {"name": "add", "arguments": {}}}]
    assert (
        text_of(
            [
                {"role": "assistant", "content": "I have 3", "tool_calls": calls},
                {"role": "tool", "content": "5"},
                {"role": "assistant", "content": "", "tool_calls": calls},
                {"role": "tool", "content": "6"},
                {"role": "assistant", "content": [{"type": "text", "text": "4"}, {"type": "text", "text": "2"}]},
            ]
        )
        == "I have 3\n42"
    )
