"""The `algorithm:` block: which policy-gradient algorithm trains the policy."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from grpo_plugin.config.base import Block

# The presets of `algorithms.presets`, whose table says what each stands for.
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
    """Groups that carry a signal are kept, and prompts drawn until they fill the batch."""

    key: Annotated[
        str | None,
        Field(description="What a group is judged by: a reward function's name, or name/key; by default the reward."),
    ] = None
    low: Annotated[float | None, Field(description="Keep groups whose mean is above this; else every mixed group.")] = (
        None
    )
    high: Annotated[float | None, Field(description="Keep groups whose mean is below this.")] = None
    max_rounds: Annotated[int, Field(ge=1, description="Times prompts are drawn for one batch before it is used.")] = 10


class Correction(Block):
    """Importance weights for the difference between the engine that sampled and the trainer."""

    level: Annotated[Literal["token", "sequence"], Field(description="One ratio per token, or per completion.")] = (
        "token"
    )
    mode: Annotated[
        Literal["truncate", "mask"], Field(description="Hold a ratio at the bound it exceeds, or set it to 0.")
    ] = "truncate"
    low: Annotated[float | None, Field(ge=0, description="Lower bound of the ratio.")] = None
    high: Annotated[float | None, Field(gt=0, description="Upper bound of the ratio.")] = 2.0


def _switch(value: Any) -> Any:
    """`true` stands for the block with its defaults."""
    return {} if value is True else value


class AlgorithmConfig(Block):
    """Keys that are left out are the preset's; `null` for a clip bound takes the bound away."""

    name: Annotated[AlgorithmName, Field(description="The preset.")] = "grpo"
    advantage: Annotated[str | None, Field(description="Estimator, or a dotted path to a function of one's own.")] = (
        None
    )
    advantage_options: dict[str, Any] = Field(default_factory=dict, description="What else the estimator takes.")
    loss: Annotated[str | None, Field(description="Kind of loss, or a dotted path to a surrogate of one's own.")] = None
    loss_options: dict[str, Any] | None = Field(default=None, description="Constants of the kind of loss.")
    loss_average: Annotated[
        Literal["token", "sequence", "constant"] | None,
        Field(description="The loss is a mean over the step's tokens, over its completions, or a constant's share."),
    ] = None
    loss_constant: Annotated[
        int | None,
        Field(gt=0, description="What 'constant' divides each completion by; by default trl.max_completion_length."),
    ] = None
    clip_low: Annotated[float | None, Field(ge=0, description="Lower width of the ratio's range.")] = None
    clip_high: Annotated[float | None, Field(ge=0, description="Upper width of the ratio's range.")] = None
    clip_dual: Annotated[
        float | None, Field(gt=1, description="Largest multiple of a negative advantage that counts.")
    ] = None
    kl_coef: Annotated[
        float | None, Field(ge=0, description="Weight of the KL to the reference model; 0 loads none.")
    ] = None
    kl_estimator: Annotated[str | None, Field(description="k1, abs, k2, k3, full, or a dotted path.")] = None
    kl_placement: Annotated[Literal["loss", "reward"] | None, Field(description="Where the KL is taken off.")] = None
    kl_target: Annotated[
        float | None, Field(gt=0, description="KL per token (nats) that the coefficient is steered to.")
    ] = None
    kl_horizon: Annotated[float, Field(gt=0, description="Completions over which it is steered.")] = 10_000.0
    dynamic_sampling: Annotated[
        DynamicSampling | Literal[False] | None,
        BeforeValidator(_switch),
        Field(description="Draw prompts until the batch is full of groups with a signal; true, false, or its keys."),
    ] = None
    overlong: Annotated[
        Literal["keep", "mask", "soft"] | None,
        Field(description="Truncated completions count as they are, are left out, or long ones get a soft penalty."),
    ] = None
    overlong_buffer: Annotated[
        int | None,
        Field(
            gt=0, description="Tokens over which the soft penalty grows; by default a fifth of the longest completion."
        ),
    ] = None
    overlong_factor: Annotated[
        float, Field(gt=0, description="The most that the soft penalty takes off a reward; with gdpo, its weight.")
    ] = 1.0
    top_entropy_quantile: Annotated[
        float | None,
        Field(gt=0, le=1, description="Share of tokens, those of highest entropy, that the policy learns from."),
    ] = None
    correction: Annotated[
        Correction | Literal["auto", False],
        BeforeValidator(_switch),
        Field(description="Weights for what vLLM and the trainer see differently; auto: where they can differ."),
    ] = "auto"
    tolerance: Annotated[float, Field(ge=0, description="Rewards of a group that are closer than this are equal.")] = (
        1e-6
    )
    tokens_per_micro_batch: Annotated[
        int | None,
        Field(gt=0, description="Token budget of a forward pass, in place of micro_batch_size completions."),
    ] = None
