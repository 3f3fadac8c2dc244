"""The tokens of highest entropy, as TRL chooses them."""

from types import SimpleNamespace

import pytest
import torch
from trl.trainer.grpo_trainer import GRPOTrainer

from grpo_plugin.algorithms.entropy import entropy_threshold, highest_entropy

ENTROPIES = [torch.tensor([0.1, 0.9, 0.5]), torch.tensor([0.7, 0.3])]


def chosen(share):
    return [row.tolist() for row in highest_entropy(ENTROPIES, share)]


def test_by_hand():
    assert entropy_threshold(torch.cat(ENTROPIES), 0.4).item() == pytest.approx(0.58)  # 0.6 · 4 = 2.4 places up
    assert chosen(0.4) == [[False, True, False], [True, False]]


def test_a_share_of_one_is_every_token_and_a_small_one_the_highest():
    assert chosen(1.0) == [[True, True, True], [True, True]]
    assert chosen(1e-6) == [[False, True, False], [False, False]]


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5, 0.8])
def test_as_trl_within_one_micro_batch(share):
    lengths = [9, 1, 4, 0, 9, 6]
    entropies = torch.rand(6, 9, generator=torch.Generator().manual_seed(0))
    mask = torch.arange(9) < torch.tensor(lengths).unsqueeze(1)
    alone = SimpleNamespace(pad_across_processes=lambda x, **_: x, gather=lambda x: x)
    trainer = SimpleNamespace(accelerator=alone)
    expected = GRPOTrainer.get_high_entropy_mask(trainer, entropies, mask, 1 - share)
    rows = [row[:length] for row, length in zip(entropies, lengths, strict=True)]
    assert torch.equal(torch.cat(highest_entropy(rows, share)), expected[mask])


def test_one_token():
    assert entropy_threshold(torch.tensor([0.25]), 0.2).item() == 0.25
