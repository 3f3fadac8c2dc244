"""The load-balancing loss of mixture-of-experts models, which keeps the router from sending all tokens to few experts.

Departure: transformers, and TRL with it, takes the share of tokens and the mean probability of each expert over a
micro-batch, and TRL averages the losses of micro-batches; both depend on how a step is split. Here both are taken over
each sequence, as DeepSeek-V3 does (arXiv 2412.19437, eq. 17 to 20), and sequences weigh as much as they have tokens:
any split of a step sums to the same. With one sequence per micro-batch the value is transformers'.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class Router(NamedTuple):
    """What the loss needs to know of a model.

    Attributes:
        experts_per_token: experts that each token is sent to.
        coefficient: the weight that the model's configuration gives the loss.
    """

    experts_per_token: int
    coefficient: float


def router_of(model: nn.Module) -> Router | None:
    """The router of a model for which transformers has such a loss; None for any other.

    GRPO's trainer in TRL takes its own `router_aux_loss_coef` (0.001) and not that of the model's configuration.
    """
    config: Any = model.config
    text: Any = config.get_text_config() if hasattr(config, "get_text_config") else config
    per_token = getattr(model, "num_experts_per_tok", getattr(text, "num_experts_per_tok", None))
    if getattr(text, "output_router_logits", None) is None or per_token is None:
        return None
    coefficient = getattr(text, "router_aux_loss_coef", None)
    return Router(int(per_token), 0.001 if coefficient is None else float(coefficient))


def balance_loss(
    router_logits: Sequence[Tensor],
    lengths: Sequence[int],
    experts_per_token: int,
    *,
    denominator: Tensor | float | None = None,
) -> Tensor:
    """Σ_sequences tokens · E · Σ_experts (share of choices · mean probability) / denominator (arXiv 2101.03961, eq. 4).

    Layers are taken together, as transformers does. Experts that are used evenly give `experts_per_token`, the least;
    only the probabilities carry a gradient.

    Args:
        router_logits: of each layer (N, E), as `layouts.run(…, routers=True)` returns them; none is a loss of 0.
        lengths: tokens of each packed sequence; they sum to N.
        denominator: tokens of the optimizer step over all ranks; by default N. Where gradients are averaged over W
            ranks, pass tokens / W.

    Returns:
        A scalar in fp32, to be multiplied by the coefficient and added to the policy loss.
    """
    if not router_logits:
        return torch.zeros(())
    experts, device = router_logits[0].shape[-1], router_logits[0].device
    tokens = torch.tensor(lengths, device=device)
    owner = torch.arange(len(lengths), device=device).repeat_interleave(tokens)
    choices = torch.zeros(len(lengths), experts, device=device)
    mass = torch.zeros(len(lengths), experts, device=device)
    for logits in router_logits:
        probabilities = logits.to(device).float().softmax(-1)
        chosen = torch.zeros_like(probabilities).scatter_(
            1, probabilities.detach().topk(experts_per_token).indices, 1.0
        )
        choices.index_add_(0, owner, chosen)
        mass = mass.index_add(0, owner, probabilities)
    rows = (tokens * len(router_logits)).unsqueeze(1)
    of_sequences = experts * (choices / rows * (mass / rows)).sum(1)
    total = (of_sequences * tokens).sum()
    return total / (sum(lengths) if denominator is None else denominator)
