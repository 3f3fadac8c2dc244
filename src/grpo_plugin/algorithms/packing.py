"""Ragged sequences laid end to end, without padding, and back; and their division into micro-batches."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from grpo_plugin.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Predicted:
    """Which completion tokens a forward pass predicts.

    Attributes:
        targets: (K,) the tokens.
        rows: (K,) their completions, 0 … B − 1.
        columns: (K,) their places in the completions, 0 … T − 1.
        shape: (B, T).
    """

    targets: Tensor
    rows: Tensor
    columns: Tensor
    shape: tuple[int, int]

    def unpack(self, values: Tensor) -> Tensor:
        """Values (K,) of the predicted tokens as (B, T), 0 elsewhere; differentiable."""
        return values.new_zeros(self.shape).index_put((self.rows, self.columns), values)


@dataclass(frozen=True, kw_only=True)
class Packed(Predicted):
    """Sequences end to end, and which hidden state predicts which completion token.

    Attributes:
        input_ids: (1, N) prompts and completions of the sequences of which a token is predicted; N may be 0.
        position_ids: (1, N), from 0 in each sequence.
        cu_seqlens: (S + 1,) int32, where each of the S sequences starts; the last entry is N.
        lengths: tokens of each sequence.
        sources: (K,) packed position whose hidden state predicts the k-th token.
    """

    input_ids: Tensor
    position_ids: Tensor
    cu_seqlens: Tensor
    lengths: tuple[int, ...]
    sources: Tensor


def pack(
    prompt_ids: Tensor,
    prompt_mask: Tensor,
    completion_ids: Tensor,
    completion_mask: Tensor,
    loss_mask: Tensor | None = None,
) -> Packed:
    """Take the padding out of a batch as TRL holds it.

    Args:
        prompt_ids: (B, P) with `prompt_mask` false on padding, wherever it is.
        completion_ids: (B, T) with `completion_mask`.
        loss_mask: (B, T), true on the tokens whose log-probability is needed; default all of the completion. A
            completion without any is left out altogether: it costs no forward pass.

    Raises:
        DataError: a completion without a prompt: nothing predicts its first token.
    """
    completion = completion_mask.bool()
    wanted = completion if loss_mask is None else completion & loss_mask.bool()
    keep = torch.cat([prompt_mask.bool(), completion], dim=1) & wanted.any(1, keepdim=True)
    width = prompt_ids.shape[1]
    counts = keep.sum(1)
    _check_prompts(keep[:, :width].any(1) | (counts == 0))

    starts = counts.cumsum(0) - counts
    within = keep.cumsum(1) - 1
    places = (starts.unsqueeze(1) + within)[:, width:]  # packed position of each completion token
    rows, columns = wanted.nonzero(as_tuple=True)
    sizes = counts[counts > 0]
    return Packed(
        input_ids=torch.cat([prompt_ids, completion_ids], dim=1)[keep].unsqueeze(0),
        position_ids=within[keep].unsqueeze(0),
        cu_seqlens=torch.nn.functional.pad(sizes.cumsum(0), (1, 0)).int(),
        lengths=tuple(sizes.tolist()),
        sources=places[rows, columns] - 1,
        targets=completion_ids[rows, columns],
        rows=rows,
        columns=columns,
        shape=(completion_ids.shape[0], completion_ids.shape[1]),
    )


def micro_batches(lengths: Sequence[int], tokens: int, at_least: int = 1) -> list[list[int]]:
    """Divide sequences into micro-batches of at most `tokens` tokens, of nearly equal size.

    Longest first, each into the lightest micro-batch: as few of them as hold the budget. A sequence longer than the
    budget has one to itself.

    Args:
        lengths: tokens of each sequence.
        tokens: budget of a micro-batch.
        at_least: how many to make (ranks that must take the same number of steps); those beyond the sequences are
            empty.

    Returns:
        Indices of the sequences in each micro-batch, in ascending order.
    """
    budget = max(tokens, max(lengths, default=0))
    count = max(at_least, -(-sum(lengths) // budget) if lengths else 0)
    longest_first = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    while True:
        loads = [0] * count
        batches: list[list[int]] = [[] for _ in range(count)]
        for index in longest_first:
            lightest = loads.index(min(loads))
            loads[lightest] += lengths[index]
            batches[lightest].append(index)
        if max(loads, default=0) <= budget:
            return [sorted(batch) for batch in batches]
        count += 1


def _check_prompts(has_prompt: Tensor) -> None:
    if not has_prompt.all():
        row = int((~has_prompt).nonzero()[0])
        raise DataError(f"prompt {row}: it has no tokens, so nothing predicts its completion; drop it from the data.")
