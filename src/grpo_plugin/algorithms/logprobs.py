"""Log-probabilities of tokens from hidden states, without holding the logits of all of them at once.

The output head is applied to a few tokens at a time. Of each token its log-probability, entropy and normaliser are
kept; the backward pass computes the chunk's logits again. For V = 151,936 the logits of 2,000 tokens would be 1.2 GB
in fp32, and as much again for their gradient.
"""

from typing import Any

import torch
from torch import Tensor

CHUNK_ELEMENTS = 2**25  # logits held at once: 128 MiB in fp32


def token_logprobs(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    *,
    bias: Tensor | None = None,
    temperature: float = 1.0,
    softcap: float | None = None,
    chunk: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Log-probability and entropy (nats) of the next token at each position.

    Both carry a gradient to `hidden`, `weight` and `bias`; an entropy that is not differentiated costs no backward
    pass. Sums over the vocabulary are in fp32 (fp64 for fp64 inputs). Under autocast the head runs in autocast's type.

    Args:
        hidden: (K, H) last hidden states.
        weight: (V, H) of the output head.
        targets: (K,) the tokens that followed.
        bias: (V,) of the output head.
        temperature: the logits are divided by it, as in sampling.
        softcap: logits z become softcap · tanh(z / softcap) first (Gemma 2).
        chunk: tokens per chunk; None chooses it so that a chunk has `CHUNK_ELEMENTS` logits.

    Returns:
        logps (K,) and entropies (K,), both fp32 (or fp64).
    """
    kind = hidden.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype
    bias = None if bias is None else bias.to(dtype)
    logps, entropies = _ChunkedLogprobs.apply(
        hidden.to(dtype), weight.to(dtype), bias, targets, temperature, softcap, chunk
    )
    return logps, entropies


def chunks(tokens: int, vocabulary: int, chunk: int | None = None) -> list[slice]:
    """Slices of `chunk` tokens, or of as many as have `CHUNK_ELEMENTS` logits; at least one, even of no tokens."""
    size = min(chunk or max(1, CHUNK_ELEMENTS // vocabulary), max(tokens, 1))
    return [slice(start, min(start + size, tokens)) for start in range(0, max(tokens, 1), size)]


class _ChunkedLogprobs(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        temperature: float,
        softcap: float | None,
        chunk: int | None,
    ) -> tuple[Tensor, Tensor]:
        precise = _precise(hidden.dtype)
        logps, entropies, normalisers = (
            torch.empty(len(targets), dtype=precise, device=hidden.device) for _ in range(3)
        )
        parts = chunks(len(targets), weight.shape[0], chunk)
        head = _Head(weight, bias, temperature, softcap, parts[0].stop)
        log_p = torch.empty_like(head.buffer)
        for rows in parts:
            logits = head.logits(hidden[rows])
            chosen = targets[rows].unsqueeze(1)
            normalised = torch.log_softmax(logits, 1, out=log_p[: len(logits)])
            logps[rows] = normalised.gather(1, chosen).squeeze(1)
            normalisers[rows] = logits.gather(1, chosen).squeeze(1) - logps[rows]
            entropies[rows] = -torch.exp(normalised, out=logits).mul_(normalised).sum(1)
        ctx.save_for_backward(hidden, weight, bias, targets, normalisers, entropies)
        ctx.settings = temperature, softcap, chunk
        ctx.set_materialize_grads(False)
        return logps, entropies

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        hidden, weight, bias, targets, normalisers, entropies = ctx.saved_tensors
        temperature, softcap, chunk = ctx.settings
        for_logps, for_entropies = gradients
        wanted = ctx.needs_input_grad
        parts = chunks(len(targets), weight.shape[0], chunk)
        head = _Head(weight, bias, temperature, softcap, parts[0].stop)
        into_hidden = torch.empty_like(hidden) if wanted[0] else None
        # Sums of many chunks: in half precision each addition would round.
        into_weight = torch.zeros_like(weight, dtype=_precise(weight.dtype)) if wanted[1] else None
        into_bias = torch.zeros_like(bias, dtype=_precise(weight.dtype)) if wanted[2] else None
        for rows in parts:
            slope = head.slope(
                hidden[rows],
                targets[rows],
                normalisers[rows],
                None if for_logps is None else for_logps[rows],
                None if for_entropies is None else for_entropies[rows],
                entropies[rows],
            )
            if into_bias is not None:
                into_bias += slope.sum(0)
            slope = slope.to(weight.dtype)
            if into_hidden is not None:
                torch.mm(slope, weight, out=into_hidden[rows])
            if into_weight is not None:
                _add_product(into_weight, slope.T, hidden[rows])
        return _as(into_hidden, hidden), _as(into_weight, weight), _as(into_bias, bias), None, None, None, None


class _Head:
    """The output head on one chunk of tokens at a time, in one buffer that all chunks share."""

    def __init__(
        self, weight: Tensor, bias: Tensor | None, temperature: float, softcap: float | None, chunk: int
    ) -> None:
        self.weight, self.bias, self.temperature, self.softcap = weight, bias, temperature, softcap
        self.buffer = torch.empty(chunk, weight.shape[0], dtype=_precise(weight.dtype), device=weight.device)

    def logits(self, hidden: Tensor) -> Tensor:
        """Scaled logits (k, V), in the buffer."""
        logits = self.buffer[: len(hidden)]
        if logits.dtype == hidden.dtype:
            torch.mm(hidden, self.weight.T, out=logits)
        else:
            logits.copy_(torch.mm(hidden, self.weight.T))
        if self.bias is not None:
            logits += self.bias
        if self.softcap is not None:
            logits.div_(self.softcap).tanh_().mul_(self.softcap)
        return logits if self.temperature == 1.0 else logits.div_(self.temperature)

    def slope(
        self,
        hidden: Tensor,
        targets: Tensor,
        normalisers: Tensor,
        for_logps: Tensor | None,
        for_entropies: Tensor | None,
        entropies: Tensor,
    ) -> Tensor:
        """Gradient (k, V) of the unscaled logits, in the buffer.

        With p the probabilities: that of a log-probability is onehot − p, that of an entropy −p · (log p + entropy).
        """
        logits = self.logits(hidden)
        bend = None if self.softcap is None else 1.0 - (logits * (self.temperature / self.softcap)).square_()
        log_p = logits.sub_(normalisers.unsqueeze(1))
        if for_entropies is None:
            slope = log_p.exp_()
        else:
            surplus = (log_p + entropies.unsqueeze(1)).mul_(for_entropies.unsqueeze(1))
            slope = log_p.exp_()
            surplus.mul_(slope)
        if for_logps is None:
            slope.zero_()
        else:
            slope.mul_(-for_logps.unsqueeze(1))
            slope.scatter_add_(1, targets.unsqueeze(1), for_logps.unsqueeze(1))
        if for_entropies is not None:
            slope.sub_(surplus)
        if bend is not None:
            slope.mul_(bend)
        return slope if self.temperature == 1.0 else slope.div_(self.temperature)


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    if total.dtype == left.dtype:
        total.addmm_(left, right)
    else:
        total += torch.mm(left, right)


def _precise(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype == torch.float64 else torch.float32


def _as(gradient: Tensor | None, like: Tensor | None) -> Tensor | None:
    return None if gradient is None or like is None else gradient.to(like.dtype)
