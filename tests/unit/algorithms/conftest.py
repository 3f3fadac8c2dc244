from typing import NamedTuple

import pytest
import torch
from torch import Tensor


class Ragged(NamedTuple):
    """Six completions of 9, 1, 4, 0, 9 and 6 tokens; logps carry a gradient, padding holds random values."""

    logps: Tensor
    old_logps: Tensor
    ref_logps: Tensor
    advantages: Tensor
    mask: Tensor


def ragged(dtype: torch.dtype, drift: float = 0.3, seed: int = 0) -> Ragged:
    generator = torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)

    mask = torch.arange(9) < torch.tensor([9, 1, 4, 0, 9, 6]).unsqueeze(1)
    old = -noise(6, 9).abs() - 0.5
    logps = old + drift * noise(6, 9)
    return Ragged(logps.requires_grad_(), old, old + 0.3 * noise(6, 9), noise(6), mask)


@pytest.fixture
def batch32() -> Ragged:
    return ragged(torch.float32)


@pytest.fixture
def batch64() -> Ragged:
    return ragged(torch.float64)
