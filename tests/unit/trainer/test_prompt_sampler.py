"""The same prompts come in the same order, however often a run is interrupted."""

import pytest
from datasets import Dataset

from grpo_plugin.errors import RecipeError
from grpo_plugin.prompts.order import permutation
from grpo_plugin.trainer.prompt_sampler import AccumulationSteps, PromptSampler

ROWS = Dataset.from_dict({"prompt": [f"prompt {i}" for i in range(5)]})


def stream():
    return ROWS.to_iterable_dataset()


def texts(prompts: PromptSampler, number: int) -> list[str]:
    return [prompts.row(row)["prompt"] for row in prompts.take(number)]


def test_each_pass_has_an_order_of_its_own():
    prompts = PromptSampler(ROWS, seed=3)
    assert prompts.take(5) == permutation(5, 3, 0).tolist()
    assert prompts.take(5) == permutation(5, 3, 1).tolist()
    assert PromptSampler(ROWS, seed=3, shuffle=False).take(7) == [0, 1, 2, 3, 4, 0, 1]


@pytest.mark.parametrize("data", [lambda: ROWS, stream], ids=["rows", "stream"])
def test_a_restored_sampler_goes_on_where_the_other_was(data):
    whole, first = PromptSampler(data(), seed=0), PromptSampler(data(), seed=0)
    expected = texts(whole, 4) + texts(whole, 5)
    begun = texts(first, 4)
    second = PromptSampler(data(), seed=0)
    second.restore(first.state())
    assert begun + texts(second, 5) == expected


def test_another_number_of_rows_would_be_another_order():
    saved = PromptSampler(Dataset.from_dict({"prompt": ["a", "b", "c"]}), seed=0)
    grown = PromptSampler(Dataset.from_dict({"prompt": ["a", "b", "c", "d"]}), seed=0)
    saved.take(2)
    with pytest.raises(RecipeError, match=r"prompts.train: 4 rows now, but the checkpoint was saved with 3"):
        grown.restore(saved.state())
    assert grown.taken == 0
    with pytest.raises(RecipeError, match="a stream of rows now, but the checkpoint was saved with 3"):
        PromptSampler(stream(), seed=0).restore(saved.state())


def test_looking_ahead_takes_nothing():
    for data in (ROWS, stream()):
        prompts = PromptSampler(data, seed=0)
        ahead = prompts.peek(3)
        assert prompts.take(3) == ahead
        assert prompts.taken == 3


def test_a_stream_drops_rows_that_are_done():
    prompts = PromptSampler(stream(), seed=0)
    kept, gone = prompts.take(2)
    ahead = prompts.peek(1)
    prompts.forget({kept})
    assert prompts.row(kept) and prompts.row(ahead[0])
    with pytest.raises(KeyError):
        prompts.row(gone)
    restored = PromptSampler(stream(), seed=0)
    restored.restore(prompts.state())
    assert restored.row(kept) == prompts.row(kept)


def test_accumulation_steps_are_counted():
    assert list(AccumulationSteps(3)) == [None, None, None]
    assert len(AccumulationSteps(3)) == 3
