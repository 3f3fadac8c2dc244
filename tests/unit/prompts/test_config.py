"""Mistakes in the `prompts:` block are one sentence each."""

import pytest

from grpo_plugin.config.prompts import PromptsConfig, WeightedSource
from grpo_plugin.errors import RecipeError


def test_sources_are_one_or_several_with_or_without_weights():
    def train(value):
        return PromptsConfig.parse("prompts", {"train": value}).train

    assert train("a@train") == train(["a@train"]) == train({"source": "a@train"}) == [WeightedSource(source="a@train")]
    weighted = train(["a@train", {"source": "b.csv", "weight": 2}])
    assert weighted == [WeightedSource(source="a@train"), WeightedSource(source="b.csv", weight=2.0)]


@pytest.mark.parametrize(
    ("block", "words"),
    [
        ({"train": [{"source": "a", "weigth": 2}]}, r"prompts.train\[0\].weigth: unknown key; did you mean 'weight'?"),
        (
            {"train": ["a", {"source": "b", "weight": 0}]},
            r"prompts.train\[1\].weight: expected a number over 0, got 0",
        ),
        ({"train": 7}, "prompts.train: a source is text such as .* got 7"),
        ({"train": []}, "prompts.train: no source; name at least one file"),
        ({"train": "a", "tempalte": "x"}, "prompts.tempalte: unknown key; did you mean 'template'?"),
        (
            {"train": "a", "overlong": "truncate"},
            "prompts.overlong: unknown value 'truncate'; did you mean 'truncate_left'?",
        ),
        ({"train": "a", "answer_extract": "gsm8k"}, "'answer_extract' needs 'answer_key'"),
        ({"train": "a", "max_pixels": 5}, "'min_pixels' and 'max_pixels' need 'image_key'"),
        ({"train": "a", "image_key": "i", "min_pixels": 9, "max_pixels": 5}, "min_pixels 9 is over max_pixels 5"),
    ],
)
def test_mistakes(block, words):
    with pytest.raises(RecipeError, match=words):
        PromptsConfig.parse("prompts", block)
