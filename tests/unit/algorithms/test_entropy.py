"""The tokens of highest entropy, as TRL chooses them."""

from types import SimpleNamespace

import pytest
import torch
from trl.trainer.grpo_trainer import GRPOTrainer

from grpo_plugin.algorithms.entropy import entropy_threshold, high_entropy

ENTROPIES = torch.tensor([[0.1, 0.9, 0.5], [0.7, 0.3, 99.0]])
MASK = torch.tensor([[True, True, True], [True, True, False]])


def test_by_hand():
    assert entropy_threshold(ENTROPIES[MASK], 0.4).item() == pytest.approx(0.58)  # 0.6 · 4 = 2.4 places up
    assert high_entropy(ENTROPIES, MASK, 0.58).tolist() == [[False, True, False], [True, False, False]]


def test_a_share_of_one_is_every_token_and_a_small_one_the_highest():
    assert torch.equal(high_entropy(ENTROPIES, MASK, entropy_threshold(ENTROPIES[MASK], 1.0)), MASK)
    assert high_entropy(ENTROPIES, MASK, entropy_threshold(ENTROPIES[MASK], 1e-6)).sum() == 1


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5, 0.8])
def test_as_trl_within_one_micro_batch(share):
    entropies = torch.rand(6, 9, generator=torch.Generator().manual_seed(0))
    mask = torch.arange(9) < torch.tensor([9, 1, 4, 0, 9, 6]).unsqueeze(1)
    alone = SimpleNamespace(pad_across_processes=lambda x, **_: x, gather=lambda x: x)
    trainer = SimpleNamespace(accelerator=alone)
    expected = GRPOTrainer.get_high_entropy_mask(trainer, entropies, mask, 1 - share)
    assert torch.equal(high_entropy(entropies, mask, entropy_threshold(entropies[mask], share)), expected)


def test_one_token():
    assert entropy_threshold(torch.tensor([0.25]), 0.2).item() == 0.25
