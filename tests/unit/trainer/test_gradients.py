"""The gradient of an optimizer step: the same for every split, and that of the formula computed by hand.

Ranks are run one after the other in this process. That real processes do the same is for tests/integration.
"""

import sys
from typing import Any

import pytest
import torch
from datasets import Dataset

from grpo_plugin.algorithms.settings import of_recipe
from grpo_plugin.config.algorithm import AlgorithmConfig, DynamicSampling
from grpo_plugin.errors import RecipeError
from grpo_plugin.trainer.dynamic_sampler import DynamicSampler
from grpo_plugin.trainer.policy import Policy
from grpo_plugin.trainer.prompt_sampler import PromptSampler
from grpo_plugin.trainer.rollout import Rollout, completion_mask
from tests.unit.trainer.rollouts import LENGTHS, REWARDS, make_model, make_step, one_process, rollout, rollouts


def gradients(
    block: dict[str, Any],
    given: list[Rollout],
    steps: int = 1,
    *,
    completions: int = 8,
    accumulation_steps: int = 1,
    ranks: int = 1,
) -> list[torch.Tensor]:
    """The flat gradient of each optimizer step, averaged over ranks, at the same weights."""
    sums: list[torch.Tensor] = []
    for rank in range(ranks):
        step = make_step(block, completions=completions, reused=steps > 1)
        samples = step.builder.build(given, [0.5] * len(given) if block["name"] == "remax" else None)
        step.policy.accelerator = one_process(rank, ranks)
        shares = step.builder.micro_batches(samples, steps, accumulation_steps)
        for number in range(steps):
            step.policy.model.zero_grad()
            for share in shares[number * accumulation_steps : (number + 1) * accumulation_steps]:
                for batch in share:
                    step.loss(step.policy.model, batch).backward()
            flat = torch.cat([p.grad.flatten() for p in step.policy.model.parameters()]) / ranks
            sums = [*sums, flat] if len(sums) <= number else [*sums[:number], sums[number] + flat, *sums[number + 1 :]]
    return sums


PRESETS = ["grpo", "dr_grpo", "dapo", "reinforce_plus_plus", "remax", "gspo", "luspo", "sapo", "vespo", "gmpo", "cispo"]


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize(
    "split",
    [
        {"completions": 1},
        {"completions": 2, "accumulation_steps": 2},
        {"completions": 1, "accumulation_steps": 4, "ranks": 2},
        {"completions": 3, "ranks": 2},
        {"completions": 1, "accumulation_steps": 2, "ranks": 3},
    ],
    ids=str,
)
def test_the_split_does_not_change_the_gradient(name, split):
    whole = gradients({"name": name}, rollouts())[0]
    assert whole.abs().max() > 1e-4
    assert torch.allclose(gradients({"name": name}, rollouts(), **split)[0], whole, atol=2e-6, rtol=1e-6)


@pytest.mark.parametrize("average", ["token", "sequence", "constant"])
def test_a_token_budget_does_not_change_the_gradient(average):
    block = {"name": "grpo", "loss_average": average}
    whole = gradients(block, rollouts())[0]
    split = gradients(block | {"tokens_per_micro_batch": 14}, rollouts(), ranks=2)[0]
    assert torch.allclose(split, whole, atol=2e-6, rtol=1e-6)


@pytest.mark.parametrize(
    "split", [{"completions": 1}, {"completions": 2, "accumulation_steps": 2, "ranks": 2}], ids=str
)
def test_several_steps_per_batch_are_the_same_steps_whatever_the_split(split):
    whole = gradients({"name": "grpo"}, rollouts(), steps=2)
    parts = gradients({"name": "grpo"}, rollouts(), steps=2, **split)
    assert all(torch.allclose(a, b, atol=2e-6, rtol=1e-6) for a, b in zip(whole, parts, strict=True))
    assert not torch.allclose(whole[0], whole[1])


def test_the_gradient_is_that_of_the_formula():
    """GRPO without KL, on-policy: −1/B Σ_i 1/T_i Σ_t A_i ∇log π, computed from the logits of each sequence alone."""
    given = rollouts()
    found = gradients({"name": "grpo", "kl_coef": 0}, given)[0]
    model = make_model()
    rewards = torch.tensor(REWARDS, dtype=torch.float64).view(2, 4)
    advantages = ((rewards - rewards.mean(1, keepdim=True)) / (rewards.std(1, keepdim=True) + 1e-4)).flatten()
    for one, advantage in zip(given, advantages.float(), strict=True):
        ids = torch.tensor([one.prompt_ids + one.completion_ids])
        log_p = model(ids).logits[0].log_softmax(-1)
        first = len(one.prompt_ids)
        logps = log_p[torch.arange(first - 1, ids.shape[1] - 1), ids[0, first:]]
        (-advantage * logps.mean() / 8).backward()
    expected = torch.cat([p.grad.flatten() for p in model.parameters()])
    assert torch.allclose(found, expected, atol=2e-6, rtol=1e-6)


def test_functions_of_ones_own_take_the_place_of_ours(tmp_path, monkeypatch):
    """An advantage and a surrogate in a file beside the recipe, which are Dr. GRPO's and REINFORCE's."""
    monkeypatch.setattr("sys.path", list(sys.path))
    (tmp_path / "of_mine.py").write_text(
        "def centred(rewards, group_size):\n"
        "    groups = rewards.view(-1, group_size)\n"
        "    return (groups - groups.mean(1, keepdim=True)).flatten()\n"
        "def plain(terms, scale=1.0):\n"
        "    return -scale * terms.advantages * terms.logps, {}\n"
    )
    block = {"name": "grpo", "kl_coef": 0, "advantage": "of_mine.centred", "loss": "of_mine.plain"}
    of_recipe(AlgorithmConfig.parse("algorithm", block), {}).check_names(tmp_path)
    ours = gradients({"name": "reinforce", "advantage": "dr_grpo", "loss_average": "sequence"}, rollouts())[0]
    theirs = gradients(block | {"loss_options": {"scale": 2.0}}, rollouts())[0]
    assert torch.allclose(theirs, 2 * ours, atol=1e-6, rtol=1e-6)
    with pytest.raises(RecipeError, match=r"algorithm.advantage: 'of_mine.centered' cannot be imported"):
        of_recipe(AlgorithmConfig.parse("algorithm", block | {"advantage": "of_mine.centered"}), {}).check_names(
            tmp_path
        )


def test_only_rollouts_with_an_advantage_are_run():
    """The second group is all right: it costs no forward pass, and still counts in the average."""
    given = rollouts()
    for one in given[4:]:
        one.reward = 1.0
    step = make_step({"name": "grpo", "kl_coef": 0}, completions=1)
    (micro_batches,) = step.micro_batches(given)
    assert sorted(one.row for batch in micro_batches for one in batch.rollouts) == [0, 1, 2, 3]
    assert {batch.denominator for batch in micro_batches} == {8.0}


def test_with_a_kl_in_the_loss_rollouts_without_an_advantage_are_run_too():
    step = make_step({"name": "grpo", "kl_coef": 0.1})
    (micro_batches,) = step.micro_batches(rollouts(reward=lambda one: 1.0))
    assert len(micro_batches[0].samples) == 8
    step.loss(step.policy.model, micro_batches[0]).backward()
    assert step.policy.model.model.embed_tokens.weight.grad.abs().max() > 0


@pytest.mark.parametrize("estimator", ["k1", "abs", "k2", "k3", "full"])
def test_every_kl_estimator_reaches_loss_and_log(estimator):
    step = make_step({"name": "grpo", "kl_coef": 0.1, "kl_estimator": estimator, "kl_placement": "loss"})
    (micro_batches,) = step.micro_batches(rollouts())
    step.loss(step.policy.model, micro_batches[0]).backward()
    logged = step.metrics.drain()["kl"]
    total = tokens = 0.0
    for one in micro_batches[0].rollouts:
        ids, first = torch.tensor([one.prompt_ids + one.completion_ids]), len(one.prompt_ids)
        rows = torch.arange(first - 1, ids.shape[1] - 1)
        ours, theirs = (model(ids).logits[0].log_softmax(-1)[rows] for model in (make_model(), make_model(seed=1)))
        if estimator == "full":
            values = (ours.exp() * (ours - theirs)).sum(1)
        else:
            d = (ours - theirs).gather(1, ids[0, first:].unsqueeze(1)).squeeze(1)
            values = {"k1": d, "abs": d.abs(), "k2": d * d / 2, "k3": (-d).exp() - 1 + d}[estimator]
        total, tokens = total + values.sum().item(), tokens + len(rows)
    assert logged == pytest.approx(total / tokens, rel=1e-5)


def test_truncated_completions_are_masked_by_the_finish_reason():
    step = make_step({"name": "grpo", "kl_coef": 0, "overlong": "mask", "loss_average": "token"})
    given = rollouts(finish_reason=lambda one: "length" if one.row == 1 else "stop")
    (micro_batches,) = step.micro_batches(given)
    assert 1 not in [one.row for one in micro_batches[0].rollouts]
    assert micro_batches[0].denominator == sum(LENGTHS) - LENGTHS[1]


def test_a_soft_penalty_lowers_the_advantage_of_long_completions():
    """Budget 10, buffer 5: 9 tokens lose 0.8 of a point, 7 lose 0.4, 6 lose 0.2, the others nothing."""
    step = make_step({"name": "dr_grpo", "overlong": "soft", "overlong_buffer": 5})
    samples = step.builder.build(rollouts(reward=lambda one: 1.0))
    expected = torch.tensor([0.2, -0.6, 0.2, 0.2, -0.25, 0.15, 0.15, -0.05])
    assert [len(sample.advantages) for sample in samples] == LENGTHS
    assert torch.allclose(torch.stack([sample.advantages[0] for sample in samples]), expected, atol=1e-6)
    assert all((sample.advantages == sample.advantages[0]).all() for sample in samples)


def test_the_correction_weighs_by_the_samplers_log_probabilities():
    """Sampled at a log-probability higher by log 2, every token counts half."""
    given = rollouts()
    policy: Policy = make_step({"name": "grpo", "kl_coef": 0}).policy
    for one, logps in zip(given, policy.compute_logps(given), strict=True):
        one.sampler_logps = (logps + torch.log(torch.tensor(2.0))).tolist()
    plain = gradients({"name": "grpo", "kl_coef": 0}, given)[0]
    half = gradients({"name": "grpo", "kl_coef": 0, "correction": True}, given)[0]
    assert torch.allclose(half, plain / 2, atol=2e-6, rtol=1e-5)


def test_a_completion_without_a_reward_is_left_out():
    step = make_step({"name": "grpo", "loss_average": "token"})
    given = rollouts(reward=lambda one: float("nan") if one.row == 0 else one.reward)
    (micro_batches,) = step.micro_batches(given)
    assert 0 not in [one.row for one in micro_batches[0].rollouts]
    assert micro_batches[0].denominator == sum(LENGTHS) - LENGTHS[0]


def test_an_adaptive_coefficient_moves_towards_its_target_and_survives_a_checkpoint():
    block = {"name": "grpo", "kl_coef": 0.1, "kl_target": 0.01, "kl_horizon": 100}
    step = make_step(block)
    step.metrics.add("kl", torch.tensor(0.05), torch.tensor(10))
    step.kl_coef.update(step.metrics, completions=50)
    assert step.kl_coef.value == pytest.approx(0.1 * (1 + 0.2 * 50 / 100))
    later = make_step(block)
    later.kl_coef.restore(step.kl_coef.state())
    later.kl_coef.update(step.metrics, completions=50)
    assert later.kl_coef.value == pytest.approx(0.1 * 1.1 * 1.1)


def test_no_forward_pass_is_spent_on_a_dropped_group(monkeypatch):
    """Every other group is without a signal: with old and reference log-probabilities, none of its tokens is run."""
    run: list[int] = []
    original = Policy.forward

    def counted(self: Policy, model: Any, given: Any, mask: Any) -> Any:
        run.extend(one.row for one in given)
        return original(self, model, given, mask)

    monkeypatch.setattr(Policy, "forward", counted)

    def sample(rows: list[int]) -> list[Rollout]:
        return [rollout(float(row % 2 and place % 2), tokens=3 + place, row=row) for row in rows for place in range(4)]

    prompts = PromptSampler(Dataset.from_dict({"prompt": [str(i) for i in range(100)]}), seed=0, shuffle=False)
    sampler = DynamicSampler(prompts, sample, batch_size=4, group_size=4, filter=DynamicSampling())
    step = make_step({"name": "grpo", "dynamic_sampling": True}, completions=2, reused=True)
    for _ in range(2):
        for share in step.micro_batches(sampler.next_batch().rollouts, steps=2):
            for batch in share:
                step.loss(step.policy.model, batch).backward()
    assert prompts.taken > 8 and sorted(set(run)) == [1, 3, 5, 7, 9, 11, 13, 15]


def test_an_empty_completion_changes_nothing():
    given = rollouts(completion_ids=lambda one: [] if one.row == 2 else one.completion_ids)
    block = {"name": "grpo", "kl_coef": 0.1}
    whole = gradients(block, given)[0]
    assert whole.isfinite().all() and whole.abs().max() > 1e-3
    assert torch.allclose(gradients(block, given, completions=1)[0], whole, atol=2e-6, rtol=1e-6)


def test_old_log_probabilities_are_those_without_dropout():
    """A model in training mode with dropout: `compute_logps` gives what the model gives in evaluation."""
    step = make_step({"name": "grpo"})
    model = step.policy.model
    model.model.norm = torch.nn.Sequential(model.model.norm, torch.nn.Dropout(0.5))
    given = rollouts()
    expected = make_step({"name": "grpo"}).policy.compute_logps(given)
    model.train()
    with torch.no_grad():
        dropped = step.policy.forward(model, given, completion_mask(given)).logps
    assert (dropped[0, :3] - expected[0]).abs().max() > 1e-3
    found = step.policy.compute_logps(given)
    assert model.training
    assert all(torch.allclose(a, b, atol=1e-9) for a, b in zip(found, expected, strict=True))


def test_the_policy_gradient_is_left_to_the_tokens_of_highest_entropy():
    """With a quarter of the tokens, the loss is that of a surrogate which is 0 on the others."""
    step = make_step({"name": "dapo", "dynamic_sampling": False, "top_entropy_quantile": 0.25})
    given = rollouts()
    entropies = torch.cat([row for _, row in step.policy.compute(given)])
    samples = step.builder.build(given)
    trained = torch.cat([sample.policy_mask for sample in samples])
    assert len(trained) == sum(LENGTHS) == 37
    assert torch.equal(trained, entropies >= entropies.sort().values[27]), "0.75 of the way from 0 to 36"
    ((batch,),) = step.builder.micro_batches(samples, 1, 1)
    whole = make_step({"name": "dapo", "dynamic_sampling": False})
    for sample in samples:
        sample.advantages = torch.where(sample.policy_mask, sample.advantages, 0.0)
        sample.policy_mask = None
    ((by_hand,),) = whole.builder.micro_batches(samples, 1, 1)
    assert torch.allclose(step.loss(step.policy.model, batch), whole.loss(whole.policy.model, by_hand), atol=1e-12)


def test_the_tokens_of_highest_entropy_are_chosen_with_a_kl_in_the_reward_too():
    block = {"name": "reinforce_plus_plus", "kl_coef": 0.1, "top_entropy_quantile": 0.25}
    step = make_step(block)
    samples = step.builder.build(rollouts())
    assert step.algorithm.kl_in_reward
    assert torch.cat([sample.policy_mask for sample in samples]).float().mean() == pytest.approx(0.25, abs=0.06)


def test_tokens_of_tools_do_not_lower_the_entropy_that_is_asked_for():
    """A quarter of eight sampled tokens, beside 32 of tools, is two."""
    step = make_step({"name": "dapo", "dynamic_sampling": False, "top_entropy_quantile": 0.25})
    given = [
        rollout(reward, tokens=10, sampled_mask=[True, False, False, True] + [False] * 6) for reward in (1, 0, 1, 0)
    ]
    for row, one in enumerate(given):
        one.completion_ids = [10 + (row + place) % 20 for place in range(10)]
    entropies = torch.cat([row[[0, 3]] for _, row in step.policy.compute(given)])
    masks = torch.stack([sample.policy_mask for sample in step.builder.build(given)])
    assert masks.sum() == 2
    assert torch.equal(masks[:, [0, 3]].flatten(), entropies >= entropies.sort().values[6])
