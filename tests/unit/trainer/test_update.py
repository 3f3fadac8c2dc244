"""The gradient of an optimizer step: the same for every split, and that of the formula computed by hand.

The trainer is a stand-in that has what the update reads of it; ranks are run one after the other. That real processes
do the same is for tests/integration.
"""

import sys
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from datasets import Dataset
from transformers import Qwen2Config, Qwen2ForCausalLM

from grpo_plugin.algorithms.settings import of_recipe
from grpo_plugin.compat.packed_attention import install
from grpo_plugin.config.algorithm import AlgorithmConfig, DynamicSampling
from grpo_plugin.errors import RecipeError
from grpo_plugin.trainer import dealing, forward
from grpo_plugin.trainer.feed import Feed
from grpo_plugin.trainer.rollouts import Rollouts
from grpo_plugin.trainer.tally import Tally
from grpo_plugin.trainer.update import Update, dealt
from tests.unit.trainer.samples import sample

LENGTHS = [3, 9, 1, 5, 7, 2, 4, 6]
REWARDS = [1.0, 0.0, 0.5, 0.0, 1.0, 1.0, 0.2, 0.9]


def make_model(seed: int = 0) -> Qwen2ForCausalLM:
    torch.manual_seed(seed)
    config = Qwen2Config(
        vocab_size=40,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=64,
        initializer_range=0.5,
    )
    model = Qwen2ForCausalLM(config).double()
    install(model)
    return model


def samples(**changes: Any) -> list[Any]:
    made = [sample(r, tokens=n, prompt=2 + i % 3, row=i) for i, (r, n) in enumerate(zip(REWARDS, LENGTHS, strict=True))]
    return [vary(s, **changes) for s in made]


def vary(made: Any, **changes: Any) -> Any:
    for name, value in changes.items():
        setattr(made, name, value(made))
    return made


class Stand:
    """What `Update` asks of a trainer, for one rank of `ranks`."""

    def __init__(self, block: dict[str, Any], *, ranks: int = 1, rank: int = 0, micro: int = 8, ticks: int = 1) -> None:
        self.model, self.reference = make_model(), make_model(seed=1)
        self.algorithm = of_recipe(AlgorithmConfig.parse("algorithm", block), {})
        self.accelerator = SimpleNamespace(
            num_processes=ranks, device="cpu", unwrap_model=lambda m: m, autocast=nullcontext, is_main_process=True
        )
        self.args = SimpleNamespace(gradient_accumulation_steps=ticks)
        self.temperature, self.num_generations, self.max_completion_length = 1.0, 4, 10
        self.reward_weights = torch.ones(1)
        self.tally = Tally()
        self._dealing = {"rank": rank, "ranks": ranks, "micro": micro}
        self.quiet_checkpointing = self.as_reference = nullcontext
        self.use_liger_kernel, self.vision = False, None

    def deal(self, given: list[Any], ticks: int) -> Any:
        budget = self.algorithm.config.tokens_per_micro_batch
        return dealing.deal([s.tokens for s in given], ticks=ticks, budget=budget, **self._dealing)

    def share(self, work: Any, given: list[Any]) -> Any:
        return work([list(range(len(given)))])


def gradients(block: dict[str, Any], given: list[Any], steps: int = 1, **split: int) -> list[torch.Tensor]:
    """The flat gradient of each optimizer step, averaged over ranks, at the same weights."""
    sums: list[torch.Tensor] = []
    ranks = split.get("ranks", 1)
    for rank in range(ranks):
        stand: Any = Stand(block, rank=rank, **split)
        update = Update(stand, stand.algorithm, differs=False)
        baselines = [0.5] * len(given) if block["name"] == "remax" else None
        ticks = dealt(stand, update, update.lessons(given, baselines, reused=steps > 1), steps)
        size = len(ticks) // steps
        for step in range(steps):
            stand.model.zero_grad()
            for batch in (one for tick in ticks[step * size : (step + 1) * size] for one in tick):
                update.loss(stand.model, batch).backward()
            flat = torch.cat([p.grad.flatten() for p in stand.model.parameters()]) / ranks
            sums = [*sums, flat] if len(sums) <= step else [*sums[:step], sums[step] + flat, *sums[step + 1 :]]
    return sums


PRESETS = ["grpo", "dr_grpo", "dapo", "reinforce_plus_plus", "remax", "gspo", "luspo", "sapo", "vespo", "gmpo", "cispo"]


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize(
    "split",
    [
        {"micro": 1},
        {"micro": 2, "ticks": 2},
        {"micro": 1, "ticks": 4, "ranks": 2},
        {"micro": 3, "ranks": 2},
        {"micro": 1, "ticks": 2, "ranks": 3},
    ],
    ids=str,
)
def test_the_split_does_not_change_the_gradient(name, split):
    whole = gradients({"name": name}, samples())[0]
    assert whole.abs().max() > 1e-4
    assert torch.allclose(gradients({"name": name}, samples(), **split)[0], whole, atol=2e-6, rtol=1e-6)


@pytest.mark.parametrize("average", ["token", "sequence", "constant"])
def test_a_token_budget_does_not_change_the_gradient(average):
    block = {"name": "grpo", "loss_average": average}
    whole = gradients(block, samples())[0]
    split = gradients(block | {"tokens_per_micro_batch": 14}, samples(), ranks=2)[0]
    assert torch.allclose(split, whole, atol=2e-6, rtol=1e-6)


@pytest.mark.parametrize("split", [{"micro": 1}, {"micro": 2, "ticks": 2, "ranks": 2}], ids=str)
def test_several_steps_per_batch_are_the_same_steps_whatever_the_split(split):
    whole = gradients({"name": "grpo"}, samples(), steps=2)
    parts = gradients({"name": "grpo"}, samples(), steps=2, **split)
    assert all(torch.allclose(a, b, atol=2e-6, rtol=1e-6) for a, b in zip(whole, parts, strict=True))
    assert not torch.allclose(whole[0], whole[1])


def test_the_gradient_is_that_of_the_formula():
    """GRPO without KL, on-policy: −1/B Σ_i 1/T_i Σ_t A_i ∇log π, computed from the logits of each sequence alone."""
    given = samples()
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
    ours = gradients({"name": "reinforce", "advantage": "dr_grpo", "loss_average": "sequence"}, samples())[0]
    theirs = gradients(block | {"loss_options": {"scale": 2.0}}, samples())[0]
    assert torch.allclose(theirs, 2 * ours, atol=1e-6, rtol=1e-6)
    with pytest.raises(RecipeError, match=r"algorithm.advantage: 'of_mine.centered' cannot be imported"):
        of_recipe(AlgorithmConfig.parse("algorithm", block | {"advantage": "of_mine.centered"}), {}).check_names(
            tmp_path
        )


def test_only_what_teaches_is_run():
    """The second group is all right: it costs no pass, and still counts in the average."""
    given = samples()
    for one in given[4:]:
        one.reward = 1.0
    stand: Any = Stand({"name": "grpo", "kl_coef": 0}, micro=1)
    update = Update(stand, stand.algorithm, differs=False)
    (passes,) = dealt(stand, update, update.lessons(given, None, reused=False), 1)
    assert sorted(lesson.sample.row for batch in passes for lesson in batch.lessons) == [0, 1, 2, 3]
    assert {batch.denominator for batch in passes} == {8.0}


def test_a_kl_in_the_loss_holds_those_too_that_teach_nothing():
    given = samples(reward=lambda s: 1.0)
    stand: Any = Stand({"name": "grpo", "kl_coef": 0.1})
    update = Update(stand, stand.algorithm, differs=False)
    (passes,) = dealt(stand, update, update.lessons(given, None, reused=False), 1)
    assert len(passes[0].lessons) == 8
    update.loss(stand.model, passes[0]).backward()
    assert stand.model.model.embed_tokens.weight.grad.abs().max() > 0


@pytest.mark.parametrize("estimator", ["k1", "abs", "k2", "k3", "full"])
def test_every_kl_estimator_reaches_loss_and_log(estimator):
    block = {"name": "grpo", "kl_coef": 0.1, "kl_estimator": estimator, "kl_placement": "loss"}
    stand: Any = Stand(block)
    update = Update(stand, stand.algorithm, differs=False)
    (passes,) = dealt(stand, update, update.lessons(samples(), None, reused=False), 1)
    update.loss(stand.model, passes[0]).backward()
    logged = stand.tally.drain()["kl"]
    given = passes[0].lessons
    total = tokens = 0.0
    for lesson in given:
        one = lesson.sample
        ids, first = torch.tensor([one.prompt_ids + one.completion_ids]), len(one.prompt_ids)
        rows = torch.arange(first - 1, ids.shape[1] - 1)
        ours, theirs = (m(ids).logits[0].log_softmax(-1)[rows] for m in (stand.model, stand.reference))
        if estimator == "full":
            values = (ours.exp() * (ours - theirs)).sum(1)
        else:
            d = (ours - theirs).gather(1, ids[0, first:].unsqueeze(1)).squeeze(1)
            values = {"k1": d, "abs": d.abs(), "k2": d * d / 2, "k3": (-d).exp() - 1 + d}[estimator]
        total, tokens = total + values.sum().item(), tokens + len(rows)
    assert logged == pytest.approx(total / tokens, rel=1e-5)


def test_truncated_completions_are_masked_by_the_finish_reason():
    given = samples(finish_reason=lambda s: "length" if s.row == 1 else "stop")
    stand: Any = Stand({"name": "grpo", "kl_coef": 0, "overlong": "mask", "loss_average": "token"})
    update = Update(stand, stand.algorithm, differs=False)
    (passes,) = dealt(stand, update, update.lessons(given, None, reused=False), 1)
    assert 1 not in [lesson.sample.row for lesson in passes[0].lessons]
    assert passes[0].denominator == sum(LENGTHS) - LENGTHS[1]


def test_a_soft_penalty_lowers_the_advantage_of_long_completions():
    """Budget 10, buffer 5: 9 tokens lose 0.8 of a point, 7 lose 0.4, 6 lose 0.2, the others nothing."""
    given = samples(reward=lambda s: 1.0)
    stand: Any = Stand({"name": "dr_grpo", "overlong": "soft", "overlong_buffer": 5})
    lessons = Update(stand, stand.algorithm, differs=False).lessons(given, None, reused=False)
    expected = torch.tensor([0.2, -0.6, 0.2, 0.2, -0.25, 0.15, 0.15, -0.05])
    assert torch.allclose(torch.cat([lesson.advantages for lesson in lessons]), expected, atol=1e-6)


def test_the_correction_weighs_what_the_sampler_saw_otherwise():
    """Sampled at a log-probability higher by log 2, every token counts half."""
    stand: Any = Stand({"name": "grpo", "kl_coef": 0})
    given = samples()
    for index, values in Update(stand, stand.algorithm, False).values(stand.model, given).items():
        given[index].sampler_logps = (values + torch.log(torch.tensor(2.0))).tolist()
    plain = gradients({"name": "grpo", "kl_coef": 0}, given)[0]
    half = gradients({"name": "grpo", "kl_coef": 0, "correction": True}, given)[0]
    assert torch.allclose(half, plain / 2, atol=2e-6, rtol=1e-5)


def test_a_completion_that_nothing_could_score_is_left_out():
    given = samples(reward=lambda s: float("nan") if s.row == 0 else s.reward)
    stand: Any = Stand({"name": "grpo", "loss_average": "token"})
    update = Update(stand, stand.algorithm, differs=False)
    (passes,) = dealt(stand, update, update.lessons(given, None, reused=False), 1)
    assert 0 not in [lesson.sample.row for lesson in passes[0].lessons]
    assert passes[0].denominator == sum(LENGTHS) - LENGTHS[0]


def test_an_adaptive_coefficient_moves_towards_its_target_and_survives_a_checkpoint():
    stand: Any = Stand({"name": "grpo", "kl_coef": 0.1, "kl_target": 0.01, "kl_horizon": 100})
    update = Update(stand, stand.algorithm, differs=False)
    stand.tally.add({"kl/ref": torch.tensor(0.05)}, torch.tensor(10))
    update.steer(completions=50)
    assert update.kl_coef == pytest.approx(0.1 * (1 + 0.2 * 50 / 100))
    later = Update(stand, stand.algorithm, differs=False)
    later.restore(update.state())
    later.steer(completions=50)
    assert later.kl_coef == pytest.approx(0.1 * 1.1 * 1.1)


def test_no_forward_pass_is_spent_on_a_dropped_group(monkeypatch):
    """Every other group is without a signal: with old and reference log-probabilities, none of its tokens is run."""
    run: list[int] = []
    original = forward.logps

    def counted(trainer: Any, model: Any, given: Any, mask: Any) -> Any:
        run.extend(one.row for one in given)
        return original(trainer, model, given, mask)

    monkeypatch.setattr(forward, "logps", counted)

    def draw(rows: list[int]) -> list[Any]:
        return [sample(float(row % 2 and place % 2), tokens=3 + place, row=row) for row in rows for place in range(4)]

    feed = Feed(Dataset.from_dict({"prompt": [str(i) for i in range(100)]}), seed=0, shuffle=False)
    rollouts = Rollouts(feed, draw, prompts=4, group_size=4, chosen=DynamicSampling())
    stand: Any = Stand({"name": "grpo", "dynamic_sampling": True}, micro=2)
    update = Update(stand, stand.algorithm, differs=True)
    for _ in range(2):
        ticks = dealt(stand, update, update.lessons(rollouts.next(), None, reused=True), 2)
        for batch in (one for tick in ticks for one in tick):
            update.loss(stand.model, batch).backward()
    assert feed.taken > 8 and sorted(set(run)) == [1, 3, 5, 7, 9, 11, 13, 15]


def test_an_empty_completion_changes_nothing():
    given = samples(completion_ids=lambda s: [] if s.row == 2 else s.completion_ids)
    block = {"name": "grpo", "kl_coef": 0.1}
    whole = gradients(block, given)[0]
    assert whole.isfinite().all() and whole.abs().max() > 1e-3
    assert torch.allclose(gradients(block, given, micro=1)[0], whole, atol=2e-6, rtol=1e-6)
