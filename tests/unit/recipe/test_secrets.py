"""What is hidden of a recipe, and what is not."""

import pytest

from grpo_plugin.recipe.secrets import HIDDEN, without_hidden, without_secrets


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ({"hub_token": "x", "prompt_key": "x"}, {"hub_token": HIDDEN, "prompt_key": "x"}),
        ({"eos_token": "</s>", "max_tokens": 5}, {"eos_token": "</s>", "max_tokens": 5}),
        ({"dynamic_sampling": {"key": "accuracy"}}, {"dynamic_sampling": {"key": "accuracy"}}),
        ({"hub_token": None}, {"hub_token": None}),
        (["--hf-token", "x", "--port", "1"], ["--hf-token", HIDDEN, "--port", "1"]),
        (["--api-key=x"], [f"--api-key={HIDDEN}"]),
        ("http://me:pw@host:80/v1", f"http://{HIDDEN}@host:80/v1"),
        (("--x", {"password": "x"}), ["--x", {"password": HIDDEN}]),
        ("hf_" + "a" * 30, HIDDEN),
    ],
)
def test_secrets_are_left_out_and_nothing_else_is(value, kept):
    assert without_secrets(value) == kept


def test_options_whose_value_was_hidden_are_left_out():
    kept = without_secrets(["--hf-token", "abc", "--max-num-seqs=8", "--api-key=abc", "--seed", "1"])
    assert without_hidden(kept) == (["--max-num-seqs=8", "--seed", "1"], ["--hf-token", "--api-key"])
