import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from grpo_plugin.algorithms.packing import micro_batches, pack
from grpo_plugin.errors import DataError

PROMPTS = torch.tensor([[0, 11, 12], [21, 22, 23], [0, 0, 31], [0, 41, 42]])
PROMPT_MASK = PROMPTS > 0
COMPLETIONS = torch.tensor([[13, 14, 0], [24, 0, 0], [0, 0, 0], [43, 44, 45]])
COMPLETION_MASK = COMPLETIONS > 0


def test_padding_and_completions_without_tokens_are_gone() -> None:
    packed = pack(PROMPTS, PROMPT_MASK, COMPLETIONS, COMPLETION_MASK)
    assert packed.input_ids.tolist() == [[11, 12, 13, 14, 21, 22, 23, 24, 41, 42, 43, 44, 45]]
    assert packed.position_ids.tolist() == [[0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 4]]
    assert packed.cu_seqlens.tolist() == [0, 4, 8, 13]
    assert packed.lengths == (4, 4, 5)


def test_each_token_is_predicted_by_the_one_before_it() -> None:
    packed = pack(PROMPTS, PROMPT_MASK, COMPLETIONS, COMPLETION_MASK)
    assert packed.targets.tolist() == [13, 14, 24, 43, 44, 45]
    assert torch.equal(packed.input_ids[0, packed.sources + 1], packed.targets)
    assert packed.input_ids[0, packed.sources].tolist() == [12, 13, 23, 42, 43, 44]


def test_unpack_puts_values_where_their_tokens_are() -> None:
    packed = pack(PROMPTS, PROMPT_MASK, COMPLETIONS, COMPLETION_MASK)
    values = packed.targets.double().requires_grad_()
    assert torch.equal(packed.unpack(values), COMPLETIONS.double())
    packed.unpack(values).square().sum().backward()
    assert torch.equal(values.grad, 2 * values)


def test_loss_mask_spares_the_output_head_and_whole_sequences() -> None:
    loss_mask = torch.tensor([[0, 1, 1], [0, 0, 0], [1, 1, 1], [1, 0, 1]])
    packed = pack(PROMPTS, PROMPT_MASK, COMPLETIONS, COMPLETION_MASK, loss_mask)
    assert packed.lengths == (4, 5)
    assert packed.targets.tolist() == [14, 43, 45]
    assert packed.rows.tolist() == [0, 3, 3]


def test_nothing_to_learn_is_nothing_to_run() -> None:
    packed = pack(PROMPTS, PROMPT_MASK, COMPLETIONS, torch.zeros_like(COMPLETIONS))
    assert packed.input_ids.shape == (1, 0)
    assert packed.unpack(torch.zeros(0)).tolist() == [[0, 0, 0]] * 4


def test_a_completion_without_a_prompt_is_an_error() -> None:
    with pytest.raises(DataError, match="prompt 1: it has no tokens"):
        pack(PROMPTS, PROMPT_MASK & (torch.arange(4) != 1).unsqueeze(1), COMPLETIONS, COMPLETION_MASK)


def test_micro_batches_by_hand() -> None:
    assert micro_batches([5, 9, 3, 3, 10], 12) == [[4], [1], [0, 2, 3]]
    assert micro_batches([5, 9, 3, 3, 10], 100) == [[0, 1, 2, 3, 4]]
    assert micro_batches([50, 3, 3], 10) == [[0], [1, 2]]
    assert micro_batches([3], 10, at_least=2) == [[0], []]


@given(st.lists(st.integers(1, 500), min_size=1, max_size=60), st.integers(1, 2000), st.integers(1, 5))
def test_micro_batches_hold_every_sequence_once_within_the_budget(lengths: list[int], budget: int, least: int) -> None:
    batches = micro_batches(lengths, budget, least)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    assert all(sum(lengths[i] for i in batch) <= max(budget, max(lengths)) for batch in batches)
    assert len(batches) >= least
