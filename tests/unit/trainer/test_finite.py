"""A loss, a gradient or a weight that is no number stops the run before the optimizer's step or before a save."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from grpo_plugin.errors import TrainingError
from grpo_plugin.trainer import finite as module
from grpo_plugin.trainer.finite import check_gradients, check_loss, check_weights

NAN, INF = float("nan"), float("inf")


def ranks(count: int, others: float = 0):
    """An accelerator of `count` ranks; `others` is the sum over the other ones."""
    return SimpleNamespace(num_processes=count, device="cpu", reduce=lambda mine, reduction: mine + others)


@pytest.mark.parametrize(("loss", "others_finite", "count"), [(NAN, 0, 1), (INF, 1, 2), (0.5, 0, 2)], ids=str)
def test_a_loss_that_is_not_finite_on_any_rank_stops_and_names_the_step(loss, others_finite, count):
    with pytest.raises(TrainingError, match="the loss of step 3 is not a finite number, so the step was not taken"):
        check_loss(torch.tensor(loss), 3, ranks(count, others_finite))


def test_finite_figures_pass():
    check_loss(torch.tensor(0.5), 3, ranks(2, 1))
    for norm in (None, 0.0, torch.tensor(1.5)):
        check_gradients(norm, 3)
    check_weights(nn.Linear(2, 2), 3, ranks(2))
    check_weights(nn.Linear(2, 2).requires_grad_(False), 3, ranks(1))


@pytest.mark.parametrize(("norm", "shown"), [(NAN, "nan"), (torch.tensor(INF), "inf")])
def test_gradients_that_are_not_finite_stop(norm, shown):
    with pytest.raises(TrainingError, match=f"the gradients of step 7 have the norm {shown}, so the step was not"):
        check_gradients(norm, 7)


def test_the_step_that_deepspeed_took_within_the_backward_pass_is_not_denied():
    with pytest.raises(TrainingError, match="the gradients of step 7 have the norm inf, with which DeepSpeed took the"):
        check_gradients(INF, 7, taken=True)


class Divided(nn.Parameter):
    """A stand-in for a parameter that ZeRO-3 divides over three ranks: 4 elements in parts of 2, the last padding."""

    def __new__(cls, part: list[float]) -> "Divided":
        made = super().__new__(cls, torch.empty(0))
        made.ds_tensor, made.ds_numel, made.ds_process_group = torch.tensor(part), 4, None
        made.ds_tensor.ds_numel = len(part)
        return made


@pytest.mark.parametrize(
    ("rank", "part", "broken"), [(0, [1, NAN], True), (1, [1, 2], False), (1, [1, INF], True), (2, [NAN, NAN], False)]
)
def test_the_part_of_a_weight_that_zero_3_leaves_a_rank_is_looked_at_without_its_padding(
    monkeypatch, rank, part, broken
):
    monkeypatch.setattr(module.dist, "get_rank", lambda group: rank)
    model = nn.Module()
    model.weight = Divided(part)
    said = pytest.raises(TrainingError, match="not finite in 1 tensors, among them weight, so it was not saved")
    with said if broken else nullcontext():
        check_weights(model, 4, ranks(1))


def test_weights_that_are_not_finite_are_named_and_not_saved():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[1].bias.data[0] = NAN
    with pytest.raises(TrainingError, match=r"after step 4 .* not finite in 1 tensors, among them 1\.bias, so it was"):
        check_weights(model, 4, ranks(1))


def test_weights_that_another_rank_holds_stop_this_one_too():
    with pytest.raises(TrainingError, match="not finite in 2 tensors, so it was not saved"):
        check_weights(nn.Linear(2, 2), 4, ranks(2, others=2.0))
