"""Log-probabilities through the output head of a model: a linear layer, or any module that gives logits."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from grpo_plugin.algorithms.kl import full
from grpo_plugin.algorithms.logprobs import chunks, token_logprobs
from grpo_plugin.errors import RecipeError

Pair = tuple[Tensor, Tensor]


def head_logprobs(
    head: nn.Module,
    hidden: Tensor,
    targets: Tensor,
    *,
    temperature: float = 1.0,
    softcap: float | None = None,
    chunk: int | None = None,
    fp32: bool = False,
) -> Pair:
    """Log-probabilities and entropies (K,) as of `token_logprobs`, through the module.

    A linear layer's weight is used directly, within a call of the layer, so that the hooks on it run (ZeRO-3 and FSDP
    gather weights in theirs). Anything else, such as an adapter around the layer, is called on one chunk of tokens at
    a time, forward and again in the backward pass.

    Args:
        fp32: run a linear layer in fp32, also under autocast and with 16-bit weights.

    Raises:
        RecipeError: fp32 for anything else than a linear layer: an adapter runs in a type of its own.
    """
    if type(head) is nn.Linear:

        def fused(states: Tensor) -> Pair:
            weight: Tensor = head.weight
            bias: Tensor | None = head.bias
            if fp32:
                states, weight, bias = states.float(), weight.float(), None if bias is None else bias.float()
            with torch.autocast(hidden.device.type, enabled=False) if fp32 else nullcontext():
                return token_logprobs(
                    states, weight, targets, bias=bias, temperature=temperature, softcap=softcap, chunk=chunk
                )

        return _called_as(head, fused, hidden)
    if fp32:
        raise RecipeError(
            "trl.cast_lm_head_to_fp32: true needs a plain linear output head, and an adapter is on it; take lm_head "
            "out of lora_target_modules, or remove the key."
        )
    pairs = [
        checkpoint(_logprobs, head, hidden[rows], targets[rows], temperature, softcap, use_reentrant=False)
        for rows in chunks(len(targets), vocabulary(head), chunk)
    ]
    logps, entropies = zip(*pairs, strict=True)
    return torch.cat(logps), torch.cat(entropies)


def head_divergence(
    head: nn.Module,
    hidden: Tensor,
    ref_head: nn.Module,
    ref_hidden: Tensor,
    *,
    temperature: float = 1.0,
    softcap: float | None = None,
    chunk: int | None = None,
) -> Tensor:
    """KL(π ‖ π_ref) over the whole vocabulary at each position (K,): `kl`'s estimator `full`, a chunk at a time.

    Args:
        head: output head of the policy, on its hidden states (K, H).
        ref_head: that of the reference model, on its own (K, H'); no gradient reaches it.
    """
    parts = [
        checkpoint(
            _divergence, head, hidden[rows], ref_head, ref_hidden[rows], temperature, softcap, use_reentrant=False
        )
        for rows in chunks(len(hidden), vocabulary(head), chunk)
    ]
    return torch.cat(parts)


def vocabulary(head: nn.Module) -> int:
    """V, the number of logits."""
    size: Any = getattr(head, "out_features", None) or len(head.weight)  # type: ignore[arg-type]
    return int(size)


def _logprobs(head: nn.Module, hidden: Tensor, targets: Tensor, temperature: float, softcap: float | None) -> Pair:
    log_p = _scaled(head(hidden), temperature, softcap).log_softmax(-1)
    return log_p.gather(1, targets.unsqueeze(1)).squeeze(1), -(log_p.exp() * log_p).sum(-1)


def _divergence(
    head: nn.Module,
    hidden: Tensor,
    ref_head: nn.Module,
    ref_hidden: Tensor,
    temperature: float,
    softcap: float | None,
) -> Tensor:
    with torch.no_grad():
        reference = _scaled(ref_head(ref_hidden), temperature, softcap)
    return full(_scaled(head(hidden), temperature, softcap), reference)


def _scaled(logits: Tensor, temperature: float, softcap: float | None) -> Tensor:
    logits = logits if logits.dtype == torch.float64 else logits.float()
    if softcap is not None:
        logits = softcap * torch.tanh(logits / softcap)
    return logits / temperature


def _called_as(module: nn.Module, forward: Callable[[Tensor], Pair], argument: Tensor) -> Pair:
    """Call the module with another forward, for this once."""
    attributes: dict[str, Any] = vars(module)
    before = attributes.get("forward")
    attributes["forward"] = forward
    try:
        pair: Pair = module(argument)
        return pair
    finally:
        if before is None:
            del attributes["forward"]
        else:
            attributes["forward"] = before
