"""What is left of AdamW's updates when weights are bf16, as recipes with learning rates near 1e-6 meet it.

python benchmarks/small_updates.py

200,000 weights of deviation 0.02 get 50 steps of the same noisy gradients, as fp32 (the reference) and as bf16. Beside
each learning rate: how many bf16 weights moved at all, and the cosine between their movement and the reference's.
optimi_adamw needs `pip install torch-optimi`.
"""

from collections.abc import Callable

import torch
from torch import Tensor

STEPS, WEIGHTS, DEVIATION = 50, 200_000, 0.02
Optimizer = Callable[[list[Tensor], float], torch.optim.Optimizer]


def adamw(parameters: list[Tensor], rate: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, lr=rate, weight_decay=0.0)


def optimi_adamw(parameters: list[Tensor], rate: float) -> torch.optim.Optimizer:
    from optimi import AdamW

    return AdamW(parameters, lr=rate, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, foreach=False)


def movement(make: Optimizer, dtype: torch.dtype, rate: float) -> Tensor:
    """How far every weight went, with what the optimizer carries for it (Kahan's compensation)."""
    torch.manual_seed(0)
    start = (torch.randn(WEIGHTS) * DEVIATION).bfloat16()
    direction = torch.randn(WEIGHTS)
    weights = torch.nn.Parameter(start.to(dtype, copy=True))
    optimizer = make([weights], rate)
    for _ in range(STEPS):
        weights.grad = (direction + torch.randn(WEIGHTS)).to(dtype)
        optimizer.step()
    carried = optimizer.state[weights].get("kahan_comp", torch.zeros(()))
    return weights.detach().float() + carried.float() - start.float()


def main() -> None:
    optimizers: dict[str, Optimizer] = {"adamw_torch": adamw}
    try:
        import optimi  # noqa: F401

        optimizers["optimi_adamw"] = optimi_adamw
    except ImportError:
        print("torch-optimi is not installed, so optimi_adamw is left out")
    for rate in (1e-6, 5e-6, 1e-5, 1e-4):
        reference = movement(adamw, torch.float32, rate)
        for name, make in optimizers.items():
            moved = movement(make, torch.bfloat16, rate)
            share = (moved != 0).float().mean().item()
            cosine = torch.nn.functional.cosine_similarity(moved, reference, dim=0).item()
            print(f"learning rate {rate:g}  {name:<13} {share:6.1%} moved, cosine to fp32 {cosine:.4f}")


if __name__ == "__main__":
    main()
