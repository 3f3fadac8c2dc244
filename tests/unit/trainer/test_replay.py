"""Recorded rollouts through an algorithm again: the advantages, loss and gradient are those of the step itself."""

import pytest
import torch

from grpo_plugin.algorithms.settings import of_recipe
from grpo_plugin.config.algorithm import AlgorithmConfig
from grpo_plugin.errors import RecipeError
from grpo_plugin.trainer.replay import Recorded, differences, replay
from tests.unit.trainer.rollouts import MAX_LENGTH, make_step, rollout, rollouts
from tests.unit.trainer.test_gradients import gradients


def algorithm(block):
    return of_recipe(AlgorithmConfig.parse("algorithm", block), {})


def recorded(given) -> Recorded:
    return Recorded(given, group_size=4, reward_weights=[1.0], max_completion_length=MAX_LENGTH)


def two_groups():
    """Rewards 1, 0, 0, 0 and 1, 1, 1, 1; two tokens each."""
    return recorded([rollout(reward, tokens=2, row=i) for i, reward in enumerate([1.0, 0, 0, 0, 1, 1, 1, 1])])


def test_advantages_loss_and_gradient_worked_out_by_hand():
    found = replay(two_groups(), algorithm({"name": "dr_grpo", "loss_average": "token", "kl_coef": 0.0}))
    assert found.kept.all()
    assert found.advantages.tolist() == [0.75, -0.25, -0.25, -0.25, 0, 0, 0, 0]
    # At ratio 1 each token has minus its advantage, divided by the 16 tokens of the step; the advantages cancel out.
    assert found.loss == pytest.approx(0.0, abs=1e-7)
    expected = [-advantage / 16 for advantage in found.advantages.tolist() for _ in range(2)]
    assert found.gradient.tolist() == pytest.approx(expected)


def test_dynamic_sampling_leaves_out_groups_without_a_signal():
    found = replay(two_groups(), algorithm({"name": "dapo", "advantage": "dr_grpo", "overlong": "keep"}))
    assert found.kept.tolist() == [True] * 4 + [False] * 4
    assert found.gradient.tolist() == pytest.approx([-0.75 / 8] * 2 + [0.25 / 8] * 6 + [0.0] * 8)


def test_dynamic_sampling_by_a_function_or_by_what_was_not_recorded():
    block = {"name": "dapo", "advantage": "dr_grpo", "overlong": "keep"}
    by_name = algorithm(block | {"dynamic_sampling": {"key": "accuracy"}})
    assert replay(two_groups(), by_name).kept.tolist() == [True] * 4 + [False] * 4
    by_part = algorithm(block | {"dynamic_sampling": {"key": "accuracy/steps"}})
    with pytest.raises(RecipeError, match="'accuracy/steps' is not given by the rewards; known are accuracy; of a rew"):
        replay(two_groups(), by_part)


def test_a_truncated_completion_can_be_masked():
    given = [rollout(reward, tokens=2, finish_reason="length" if reward else "stop") for reward in (1.0, 0.0, 0.0, 0.0)]
    found = replay(recorded(given), algorithm({"name": "dr_grpo", "overlong": "mask"}))
    assert found.advantages.tolist() == [0.0, -0.25, -0.25, -0.25]
    assert found.gradient[:2].tolist() == [0.0, 0.0] and found.gradient[2:].abs().min() > 0


@pytest.mark.parametrize("name", ["grpo", "dapo", "gspo", "reinforce_plus_plus"])
def test_with_the_policy_the_gradient_is_that_of_the_step(name):
    block = {"name": name, "kl_coef": 0.05} if name == "grpo" else {"name": name}
    step = make_step(block)
    found = replay(recorded(rollouts()), algorithm(block), step.policy)
    assert torch.allclose(found.gradient, gradients(block, rollouts())[0].float(), atol=1e-6)
    assert found.gradient.abs().max() > 1e-3


def test_the_differences_of_two_algorithms():
    one = replay(two_groups(), algorithm({"name": "dr_grpo", "loss_average": "token"}))
    other = replay(two_groups(), algorithm({"name": "dapo", "advantage": "dr_grpo", "overlong": "keep"}))
    rows = {what: values for what, *values in differences(one, other)}
    assert rows["completions trained on"] == ["8", "4"] and rows["with an advantage"] == ["4", "4"]
    assert rows["mean |advantage|"] == ["0.1875", "0.1875"]
    assert rows["advantages of another sign"] == ["", "0"]
    assert rows["correlation of advantages"] == ["", "1.0000"] and rows["cosine of the gradients"] == ["", "1.0000"]
    norm = (2 * 0.75**2 + 6 * 0.25**2) ** 0.5
    assert [float(value) for value in rows["norm of the gradient"]] == pytest.approx([norm / 16, norm / 8], abs=1e-6)


def test_nothing_to_train_on():
    given = recorded([rollout(1.0, tokens=2) for _ in range(4)])
    found = replay(given, algorithm({"name": "dapo"}))
    assert not found.kept.any() and found.loss == 0.0
    assert {what: last for what, _, last in differences(found, found)}["cosine of the gradients"] == "-"


def test_greedy_baselines_are_not_recorded():
    with pytest.raises(RecipeError, match="'remax' needs the rewards of greedy completions"):
        replay(two_groups(), algorithm({"name": "remax"}))
