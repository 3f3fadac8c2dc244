"""The `algorithm:` block: which policy-gradient algorithm trains the policy."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from grpo_plugin.config.alarms import Alarms
from grpo_plugin.config.block import Block

# The presets of `algorithms.presets`, whose table says what each combines.
AlgorithmName = Literal[
    "grpo",
    "dr_grpo",
    "bnpo",
    "dapo",
    "reinforce",
    "reinforce_baseline",
    "reinforce_plus_plus",
    "reinforce_plus_plus_baseline",
    "rloo",
    "remax",
    "gspo",
    "gspo_token",
    "cispo",
    "sapo",
    "grpo_passk",
    "gmpo",
    "luspo",
    "vespo",
    "gdpo",
]


class DynamicSampling(Block):
    """Keep groups whose rewards differ, and sample prompts until they fill the batch (DAPO, arXiv 2503.14476)."""

    key: Annotated[
        str | None,
        Field(
            description="What groups are chosen by: the name of a reward function, or name/key; by default the total."
        ),
    ] = None
    low: Annotated[
        float | None,
        Field(description="Keep groups whose mean is above this; by default groups whose rewards differ are kept."),
    ] = None
    high: Annotated[float | None, Field(description="Keep groups whose mean is below this.")] = None
    max_rounds: Annotated[
        int, Field(ge=1, description="Rounds of sampling for one batch; after the last, the batch is used as it is.")
    ] = 10


class Correction(Block):
    """Importance weights, trainer over vLLM, for completions whose log-probabilities differ between the two."""

    level: Annotated[Literal["token", "sequence"], Field(description="One ratio per token, or per completion.")] = (
        "token"
    )
    mode: Annotated[
        Literal["truncate", "mask"],
        Field(description="A ratio outside the bounds is set to the bound (truncate) or to 0 (mask)."),
    ] = "truncate"
    low: Annotated[float | None, Field(ge=0, description="Lower bound of the ratio.")] = None
    high: Annotated[float | None, Field(gt=0, description="Upper bound of the ratio.")] = 2.0


def _switch(value: Any) -> Any:
    """`true` means the block with its defaults."""
    return {} if value is True else value


class AlgorithmConfig(Block):
    """Which policy-gradient algorithm trains the policy.

    A key that is left out has the value of the preset `name`; `null` for a clip bound means no bound.
    """

    name: Annotated[AlgorithmName, Field(description="The preset that the other keys change.")] = "grpo"
    advantage: Annotated[
        str | None, Field(description="Advantage estimator, or the dotted path of your own function.")
    ] = None
    advantage_options: dict[str, Any] = Field(default_factory=dict, description="Keyword arguments of the estimator.")
    loss: Annotated[str | None, Field(description="Kind of loss, or the dotted path of your own surrogate.")] = None
    loss_options: dict[str, Any] | None = Field(default=None, description="Constants of the loss.")
    loss_average: Annotated[
        Literal["token", "sequence", "constant"] | None,
        Field(description="How the loss is averaged: over tokens, over completions, or by a constant per completion."),
    ] = None
    loss_constant: Annotated[
        int | None,
        Field(
            gt=0,
            description="With loss_average: constant, that constant; by default trl.max_completion_length.",
        ),
    ] = None
    clip_low: Annotated[
        float | None, Field(ge=0, description="Lower clip range: the ratio is clipped at 1 - clip_low.")
    ] = None
    clip_high: Annotated[
        float | None, Field(ge=0, description="Upper clip range: the ratio is clipped at 1 + clip_high.")
    ] = None
    clip_dual: Annotated[
        float | None, Field(gt=1, description="Dual clip: upper bound of the ratio where the advantage is negative.")
    ] = None
    kl_coef: Annotated[
        float | None,
        Field(ge=0, description="Coefficient of the KL to the reference model; with 0, no reference model is loaded."),
    ] = None
    kl_estimator: Annotated[
        str | None, Field(description="KL estimator: k1, abs, k2, k3, full, or the dotted path of your own.")
    ] = None
    kl_placement: Annotated[
        Literal["loss", "reward"] | None,
        Field(description="The KL is added to the loss, or subtracted from the reward."),
    ] = None
    kl_target: Annotated[
        float | None, Field(gt=0, description="The coefficient is adjusted towards this KL per token, in nats.")
    ] = None
    kl_horizon: Annotated[float, Field(gt=0, description="Completions over which the coefficient is adjusted.")] = (
        10_000.0
    )
    dynamic_sampling: Annotated[
        DynamicSampling | Literal[False] | None,
        BeforeValidator(_switch, json_schema_input_type=bool | DynamicSampling | None),
        Field(
            description="Sample prompts until the batch is full of groups whose rewards differ.",
            json_schema_extra={"expected": "true, false or its keys"},
        ),
    ] = None
    overlong: Annotated[
        Literal["keep", "mask", "soft"] | None,
        Field(
            description="Truncated completions are kept, left out of the loss (mask), or penalized by length (soft)."
        ),
    ] = None
    overlong_buffer: Annotated[
        int | None,
        Field(
            gt=0,
            description="With soft: tokens over which the penalty grows; by default trl.max_completion_length / 5.",
        ),
    ] = None
    overlong_factor: Annotated[
        float, Field(gt=0, description="With soft: the largest penalty; with gdpo, its weight.")
    ] = 1.0
    top_entropy_quantile: Annotated[
        float | None,
        Field(gt=0, le=1, description="Share of tokens, those of highest entropy, in the policy gradient."),
    ] = None
    correction: Annotated[
        Correction | Literal["auto", False],
        BeforeValidator(_switch, json_schema_input_type=bool | Correction | Literal["auto"]),
        Field(
            description="Importance weights for the gap between vLLM and the trainer; auto: where the two can differ.",
            json_schema_extra={"expected": "'auto', true, false or its keys"},
        ),
    ] = "auto"
    tolerance: Annotated[
        float, Field(ge=0, description="Rewards of a group that differ by less than this count as equal.")
    ] = 1e-6
    tokens_per_micro_batch: Annotated[
        int | None,
        Field(gt=0, description="Tokens of a micro-batch, in place of micro_batch_size completions."),
    ] = None
    alarms: Annotated[
        Alarms | Literal[False],
        BeforeValidator(_switch, json_schema_input_type=bool | Alarms),
        Field(
            default_factory=Alarms,
            description="Lines on the screen about figures that look wrong while the run trains.",
            json_schema_extra={"expected": "true, false or its keys"},
        ),
    ]
