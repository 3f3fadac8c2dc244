import subprocess
import sys
from pathlib import Path

import pytest
import torch

from grpo_plugin.algorithms import kl, presets
from grpo_plugin.algorithms.advantages import ESTIMATORS, compute, inputs
from grpo_plugin.algorithms.losses import KINDS, policy_loss
from grpo_plugin.algorithms.presets import PRESETS, Preset

# What EasyR1 (`adv_estimator`, `loss_type`) and TRL 1.9 (`loss_type`) train, by the preset that stands for it here:
# (estimator, kind of loss, loss average, clip range), read from their source.
PEERS = {
    "grpo": ("grpo", "ppo", "sequence", (0.2, 0.2)),
    "dr_grpo": ("dr_grpo", "ppo", "constant", (0.2, 0.2)),
    "bnpo": ("grpo", "ppo", "token", (0.2, 0.2)),
    "dapo": ("grpo", "ppo", "token", (0.2, 0.28)),
    "reinforce_plus_plus": ("reinforce_plus_plus", "ppo", "sequence", (0.2, 0.2)),
    "reinforce": ("reinforce", "reinforce", "token", (None, None)),
    "reinforce_plus_plus_baseline": ("reinforce_plus_plus_baseline", "ppo", "sequence", (0.2, 0.2)),
    "gmpo": ("grpo", "gmpo", "sequence", (0.4, 0.4)),
    "rloo": ("rloo", "reinforce", "token", (None, None)),
    "remax": ("remax", "reinforce", "token", (None, None)),
    "gspo": ("grpo", "gspo", "sequence", (3e-4, 4e-4)),
    "gspo_token": ("grpo", "gspo_token", "sequence", (3e-4, 4e-4)),
    "cispo": ("grpo", "cispo", "token", (None, 4.0)),
    "sapo": ("grpo", "sapo", "sequence", (None, None)),
    "grpo_passk": ("grpo_passk", "ppo", "sequence", (0.2, 0.2)),
    "luspo": ("grpo", "luspo", "sequence", (3e-4, 4e-4)),
    "vespo": ("grpo", "vespo", "token", (None, None)),
    "gdpo": ("gdpo", "ppo", "sequence", (0.2, 0.2)),
}


@pytest.mark.parametrize("name", PEERS)
def test_a_name_that_users_know_means_what_they_know(name: str) -> None:
    preset = PRESETS[name]
    assert (preset.advantage, preset.loss, preset.loss_average, (preset.clip_low, preset.clip_high)) == PEERS[name]


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_names_what_exists(name: str) -> None:
    preset = PRESETS[name]
    assert preset.advantage in ESTIMATORS
    assert preset.kl_estimator in kl.ESTIMATORS
    assert preset.ratio == ("none" if preset.loss == "reinforce" else KINDS[preset.loss].level)
    if preset.kl_placement == "reward":
        assert preset.kl_coef > 0


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_moves_the_policy_towards_the_better_completion(name: str) -> None:
    """Two completions of a prompt over a vocabulary of two; the first token is right, the second wrong."""
    preset = PRESETS[name]
    logits = torch.zeros(2, requires_grad=True)
    logps = logits.log_softmax(0).unsqueeze(1).repeat(1, 3)
    rewards, mask = torch.tensor([1.0, 0.0]), torch.ones(2, 3, dtype=torch.bool)
    loss, _ = policy_loss(
        logps,
        None,
        advantages_of(preset, rewards, mask),
        mask,
        kind=preset.loss,
        clip_low=preset.clip_low,
        clip_high=preset.clip_high,
        clip_dual=preset.clip_dual,
        average=preset.loss_average,
        constant=3,
        ref_logps=logps.detach(),
        kl_coef=preset.kl_coef if preset.kl_placement == "loss" else 0.0,
        kl_estimator=preset.kl_estimator,
        **preset.loss_options,
    )
    loss.backward()
    assert logits.grad is not None
    right, wrong = logits.grad.tolist()
    assert right < 0 < wrong


def advantages_of(preset: Preset, rewards: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    same = torch.zeros(2, 3)
    return compute(
        preset.advantage,
        rewards=rewards,
        group_size=2,
        mask=mask,
        baselines=torch.zeros(2) if "baselines" in inputs(preset.advantage) else None,
        rewards_per_function=rewards.unsqueeze(1),
        logps=same,
        ref_logps=same,
        kl_coef=preset.kl_coef if preset.kl_placement == "reward" else 0.0,
        kl_estimator=preset.kl_estimator,
    )


def test_dapo_is_what_its_paper_says() -> None:
    dapo = PRESETS["dapo"]
    assert (dapo.clip_low, dapo.clip_high, dapo.loss_average, dapo.kl_coef) == (0.2, 0.28, "token", 0.0)
    assert dapo.dynamic_sampling
    assert dapo.overlong == "soft"


def test_the_table_in_words() -> None:
    table = {row[0]: row[1:] for row in presets.rows()}
    assert table["grpo"] == (
        "grpo",
        "token",
        "0.8 … 1.2",
        "sequence",
        "0.04 · k3 in the loss",
        "none",
        "arXiv 2402.03300",
    )
    assert table["cispo"][2] == "… 5"
    assert table["gmpo"][2] == "exp(−0.4) … exp(0.4)"
    assert table["remax"][4:6] == ("0.05 · k1 in the reward", "greedy completion as baseline")
    assert table["dapo"][5] == "dynamic sampling, soft overlong penalty"
    assert table["vespo"][2] == "none"


def test_markdown_has_a_row_for_every_preset_and_a_note_for_every_departure() -> None:
    text = presets.markdown()
    assert all(f"| {name} |" in text for name in PRESETS)
    assert all(preset.departs in text for preset in PRESETS.values())


@pytest.mark.parametrize("module", ["presets", "settings", "trl_keys", "overlong"])
def test_what_the_command_line_reads_needs_no_torch(module: str) -> None:
    command = f"import sys, grpo_plugin.algorithms.{module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", command], timeout=60).returncode == 0


def test_the_documentation_shows_the_table_as_it_is() -> None:
    root = Path(__file__).parents[3]
    assert presets.markdown() in (root / "docs" / "algorithms.md").read_text(encoding="utf-8")
    readme = (root / "README.md").read_text(encoding="utf-8")
    assert "docs/algorithms.md" in readme
    assert not any(f"| {name} |" in readme for name in PRESETS)
