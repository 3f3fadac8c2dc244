"""A loss that is no number stops the run before the optimizer's step, on every rank."""

from types import SimpleNamespace

import pytest
import torch

from grpo_plugin.errors import TrainingError
from grpo_plugin.trainer.trainer import PolicyTrainer


def trainer_of(loss: float, others_finite: int = 0, ranks: int = 1):
    """As much of the trainer as checks the loss; `others_finite` of the other ranks have a finite one."""
    accelerator = SimpleNamespace(num_processes=ranks, reduce=lambda mine, reduction: mine + others_finite)
    return SimpleNamespace(accelerator=accelerator, _step_loss=torch.tensor(loss), state=SimpleNamespace(global_step=2))


@pytest.mark.parametrize(
    ("loss", "others_finite", "ranks"), [(float("nan"), 0, 1), (float("inf"), 1, 2), (0.5, 0, 2)], ids=str
)
def test_the_run_stops_and_names_the_step(loss, others_finite, ranks):
    with pytest.raises(TrainingError, match="the loss of step 3 is not a finite number, so the step was not taken"):
        PolicyTrainer._check_finite(trainer_of(loss, others_finite, ranks))


def test_a_finite_loss_is_forgotten_for_the_next_step():
    trainer = trainer_of(0.5, others_finite=1, ranks=2)
    PolicyTrainer._check_finite(trainer)
    assert trainer._step_loss == 0.0
