"""The algorithms by name: what each combines, with the values of its paper. No torch here: the command line reads this.

A preset is an advantage estimator (`advantages.ESTIMATORS`), a kind of loss (`losses.KINDS`) with the level of its
ratio, clip bounds, a loss average (`averages`), a KL (`kl.ESTIMATORS`), and extras. The recipe may override any field.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Preset:
    """One row of the table; fields are named as in the recipe's `algorithm:` block.

    Attributes:
        source: paper or code the values are from.
        ratio: level of the importance ratio; `none` where the loss has none.
        clip_low: the ratio stays above 1 − this (gmpo: above exp(−this)); None for no bound.
        clip_high: below 1 + this (gmpo: exp(this)).
        clip_dual: largest multiple of a negative advantage that counts.
        overlong: truncated completions are kept or masked out of the loss; `soft` is DAPO's penalty on long ones.
        loss_options: constants of the kind of loss.
        departs: where this is not what the source says, or the source does not say.
    """

    source: str
    advantage: str = "grpo"
    loss: str = "ppo"
    ratio: Literal["token", "sequence", "sequence_token", "none"] = "token"
    clip_low: float | None = 0.2
    clip_high: float | None = 0.2
    clip_dual: float | None = None
    loss_average: Literal["token", "sequence", "constant"] = "sequence"
    kl_coef: float = 0.0
    kl_estimator: str = "k3"
    kl_placement: Literal["loss", "reward"] = "loss"
    dynamic_sampling: bool = False
    overlong: Literal["keep", "mask", "soft"] = "keep"
    loss_options: Mapping[str, Any] = field(default_factory=dict)
    departs: str = ""

    @property
    def loss_arguments(self) -> dict[str, Any]:
        """What `losses.policy_loss` takes from a preset."""
        clips = {"clip_low": self.clip_low, "clip_high": self.clip_high, "clip_dual": self.clip_dual}
        return {"kind": self.loss, "average": self.loss_average, **clips, **self.loss_options}


PRESETS: dict[str, Preset] = {
    "grpo": Preset(
        "arXiv 2402.03300",
        kl_coef=0.04,
        departs="The paper does not state its clip range; 0.2 is PPO's.",
    ),
    "dr_grpo": Preset(
        "arXiv 2503.20783",
        advantage="dr_grpo",
        loss_average="constant",
    ),
    "bnpo": Preset(
        "TRL's loss type",
        loss_average="token",
        departs="TRL divides by the tokens of the micro-batch; here by those of the step, whatever its split.",
    ),
    "dapo": Preset(
        "arXiv 2503.14476",
        clip_high=0.28,
        loss_average="token",
        dynamic_sampling=True,
        overlong="soft",
    ),
    "reinforce": Preset(
        "Williams 1992",
        advantage="reinforce",
        loss="reinforce",
        ratio="none",
        clip_low=None,
        clip_high=None,
        loss_average="token",
        departs="Divided by the tokens of the step: the same direction as the sum over each completion.",
    ),
    "reinforce_baseline": Preset(
        "Williams 1992",
        advantage="reinforce_baseline",
        loss="reinforce",
        ratio="none",
        clip_low=None,
        clip_high=None,
        loss_average="token",
        departs="Divided by the tokens of the step: the same direction as the sum over each completion.",
    ),
    "reinforce_plus_plus": Preset(
        "arXiv 2501.03262",
        advantage="reinforce_plus_plus",
        kl_coef=0.001,
        kl_estimator="k1",
        kl_placement="reward",
    ),
    "reinforce_plus_plus_baseline": Preset(
        "arXiv 2501.03262",
        advantage="reinforce_plus_plus_baseline",
        kl_coef=1e-5,
        kl_estimator="k2",
        departs="The KL's coefficient is that of the authors' OpenRLHF script.",
    ),
    "rloo": Preset(
        "arXiv 2402.14740",
        advantage="rloo",
        loss="reinforce",
        ratio="none",
        clip_low=None,
        clip_high=None,
        loss_average="token",
        kl_coef=0.03,
        kl_estimator="k1",
        kl_placement="reward",
        departs="Divided by the tokens of the step: the same direction as the sum over each completion.",
    ),
    "remax": Preset(
        "arXiv 2310.10505",
        advantage="remax",
        loss="reinforce",
        ratio="none",
        clip_low=None,
        clip_high=None,
        loss_average="token",
        kl_coef=0.05,
        kl_estimator="k1",
        kl_placement="reward",
        departs="The KL's coefficient is that of the authors' scripts.",
    ),
    "gspo": Preset(
        "arXiv 2507.18071",
        loss="gspo",
        ratio="sequence",
        clip_low=3e-4,
        clip_high=4e-4,
    ),
    "gspo_token": Preset(
        "arXiv 2507.18071",
        loss="gspo_token",
        ratio="sequence_token",
        clip_low=3e-4,
        clip_high=4e-4,
    ),
    "cispo": Preset(
        "arXiv 2506.13585",
        loss="cispo",
        clip_low=None,
        clip_high=4.0,
        loss_average="token",
        dynamic_sampling=True,
        overlong="soft",
        departs="The paper does not state its upper bound; a ratio of 5 is ScaleRL's (arXiv 2510.13786).",
    ),
    "sapo": Preset(
        "arXiv 2511.20347",
        loss="sapo",
        clip_low=None,
        clip_high=None,
        loss_options={"temperature_pos": 1.0, "temperature_neg": 1.05},
    ),
    "grpo_passk": Preset(
        "arXiv 2503.19595",
        advantage="grpo_passk",
        departs="The advantage is divided by its group's deviation, as EasyR1 and verl have it.",
    ),
    "gmpo": Preset(
        "arXiv 2507.20673",
        loss="gmpo",
        ratio="sequence",
        clip_low=0.4,
        clip_high=0.4,
    ),
    "luspo": Preset(
        "arXiv 2602.05261",
        loss="luspo",
        ratio="sequence",
        clip_low=3e-4,
        clip_high=4e-4,
        departs="The clip range is GSPO's.",
    ),
    "vespo": Preset(
        "arXiv 2602.10693",
        loss="vespo",
        ratio="sequence",
        clip_low=None,
        clip_high=None,
        loss_average="token",
        loss_options={"k_pos": 2.0, "lambda_pos": 3.0, "k_neg": 3.0, "lambda_neg": 2.0},
    ),
    "gdpo": Preset(
        "arXiv 2601.05242",
        advantage="gdpo",
    ),
}

COLUMNS = ("name", "advantage", "ratio", "clip", "loss average", "KL", "extras", "source")


def rows() -> list[tuple[str, ...]]:
    """The table of presets, one tuple of `COLUMNS` each."""
    return [
        (
            name,
            preset.advantage,
            preset.ratio,
            _clip(preset),
            preset.loss_average,
            _kl(preset),
            _extras(preset),
            preset.source,
        )
        for name, preset in PRESETS.items()
    ]


def markdown() -> str:
    """The same table in Markdown, followed by where a preset departs from its source."""
    lines = [COLUMNS, ("---",) * len(COLUMNS), *rows()]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    notes = "\n".join(f"- {name}: {preset.departs}" for name, preset in PRESETS.items() if preset.departs)
    return f"{table}\n\n{notes}\n"


def _clip(preset: Preset) -> str:
    if preset.clip_low is None and preset.clip_high is None:
        return "none"
    if preset.loss == "gmpo":
        return f"exp(−{preset.clip_low:g}) … exp({preset.clip_high:g})"
    low = "" if preset.clip_low is None else f"{1 - preset.clip_low:g} "
    high = "" if preset.clip_high is None else f" {1 + preset.clip_high:g}"
    dual = "" if preset.clip_dual is None else f", dual {preset.clip_dual:g}"
    return f"{low}…{high}{dual}"


def _kl(preset: Preset) -> str:
    return f"{preset.kl_coef:g} · {preset.kl_estimator} in the {preset.kl_placement}" if preset.kl_coef else "none"


def _extras(preset: Preset) -> str:
    extras = [f"{name} {value:g}" for name, value in preset.loss_options.items()]
    if preset.loss == "luspo":
        extras.append("completions weigh their length")
    if preset.advantage == "remax":
        extras.append("greedy completion as baseline")
    if preset.dynamic_sampling:
        extras.append("dynamic sampling")
    if preset.overlong != "keep":
        extras.append("soft overlong penalty" if preset.overlong == "soft" else "truncated completions masked")
    return ", ".join(extras) or "none"
