"""The gap is a mean over real tokens alone, and nothing that is not a number passes."""

import math

import pytest
import torch

from grpo_plugin.errors import RolloutError
from grpo_plugin.rollout.logp_gap import Gap, check, check_jump, logp_gap


def test_mean_and_max_over_real_tokens_only() -> None:
    trainer = torch.tensor([[-1.0, -2.0, 9.0], [-0.5, 7.0, 7.0]])
    server = torch.tensor([[-1.5, -2.0, -9.0], [-0.25, 0.0, torch.nan]])
    gap = logp_gap(trainer, server, torch.tensor([[1, 1, 0], [1, 0, 0]]))
    assert gap == Gap(mean=(0.5 + 0.0 + 0.25) / 3, max=0.5, tokens=3)


def test_half_precision_is_subtracted_in_full() -> None:
    one = torch.tensor([[-8.0]], dtype=torch.bfloat16)
    other = torch.tensor([[-8.001]], dtype=torch.float32)
    assert logp_gap(one, other, torch.ones(1, 1)).mean == pytest.approx(0.001, rel=1e-3)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("side", ["trainer", "server"])
def test_one_bad_number_among_many_is_an_infinite_gap(bad: float, side: str) -> None:
    logps = {"trainer": torch.zeros(1, 1000), "server": torch.zeros(1, 1000)}
    logps[side][0, 500] = bad
    gap = logp_gap(logps["trainer"], logps["server"], torch.ones(1, 1000))
    assert gap == Gap(math.inf, math.inf, 1000)
    with pytest.raises(RolloutError, match="by inf nats per token"):
        check(gap, limit=1e6)


def test_both_sides_certain_of_an_impossible_token_is_no_agreement() -> None:
    impossible = torch.full((1, 1), -math.inf)
    assert logp_gap(impossible, impossible, torch.ones(1, 1)).mean == math.inf


def test_the_error_names_gap_limit_and_causes() -> None:
    with pytest.raises(RolloutError) as caught:
        check(Gap(mean=0.25, max=3.0, tokens=120), limit=0.1, version=7)
    for part in ("rollout.max_logp_gap", "version 7", "0.25 nats", "120 tokens", "max 3", "limit of 0.1"):
        assert part in str(caught.value)
    for cause in ("tied embeddings", "sync", "tokenizer", "half precision", "untie", "adapter: lora"):
        assert cause in str(caught.value)


@pytest.mark.parametrize(
    ("before", "after", "stops"),
    [(5e-6, 2e-3, True), (5e-6, 4e-4, False), (1e-9, 2.1e-4, True), (1e-9, 1.9e-4, False), (0.01, 0.9, False)],
)
def test_a_jump_by_orders_at_the_first_update_is_a_broken_sync(before: float, after: float, stops: bool) -> None:
    """SmolLM2's tied head on a CPU server without our extension: 5e-6, then 0.002."""
    gaps = [Gap(mean=mean, max=mean, tokens=100) for mean in (before, after)]
    if not stops:
        check_jump(*gaps, version=2)
        return
    with pytest.raises(RolloutError, match=r"version 2 of the weights, the first after an update.* did not all arrive"):
        check_jump(*gaps, version=2)


def test_a_gap_at_the_limit_passes() -> None:
    check(Gap(mean=0.1, max=5.0, tokens=1), limit=0.1)


def test_nothing_compared_is_not_agreement() -> None:
    gap = logp_gap(torch.zeros(2, 3), torch.zeros(2, 3), torch.zeros(2, 3))
    assert gap == Gap(0.0, 0.0, 0)
    with pytest.raises(RolloutError, match="no completion token"):
        check(gap, limit=0.1)
