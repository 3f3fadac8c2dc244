"""Sampling parameters, under the names of vLLM's completions route."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from grpo_plugin.errors import RecipeError, suggestion

FORBIDDEN = -100.0  # the lowest logit_bias that vLLM takes: a token with it is never sampled

# What the client itself puts into a request.
_OWNED = (
    "model",
    "prompt",
    "n",
    "logprobs",
    "prompt_logprobs",
    "stream",
    "echo",
    "return_token_ids",
    "use_beam_search",
)


@dataclass(frozen=True)
class Sampling:
    """Sampling parameters of a request. `extra` is merged last, as TRL merges generation_kwargs.

    Raises:
        RecipeError: when `extra` names a field that is not a sampling parameter.
    """

    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float | None = None
    repetition_penalty: float = 1.0
    seed: int | None = None
    stop: Sequence[str] = ()
    stop_token_ids: Sequence[int] = ()
    regex: str | None = None
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in self.extra:
            if name in _OWNED:
                raise RecipeError(f"trl.generation_kwargs.{name}: is decided by the trainer; remove it.")

    @classmethod
    def from_args(cls, args: Any) -> Self:
        """The sampling fields of TRL's GRPOConfig."""
        return cls(
            max_tokens=args.max_completion_length,
            temperature=args.temperature,
            top_p=args.top_p,
            top_k=args.top_k or 0,
            min_p=args.min_p,
            repetition_penalty=args.repetition_penalty,
            regex=args.vllm_structured_outputs_regex,
            extra=dict(args.generation_kwargs or {}),
        )

    def payload(self) -> dict[str, Any]:
        """The fields of a request. Every field that a model's generation_config.json may set is given: vLLM would
        otherwise sample with the top_p or top_k that the model's authors recommend for chatting.
        """
        fields: dict[str, Any] = {
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "top_k": self.top_k,
            "min_p": self.min_p or 0.0,
            "repetition_penalty": self.repetition_penalty,
            "presence_penalty": 0.0,
            "frequency_penalty": 0.0,
        }
        if self.seed is not None:
            fields["seed"] = self.seed
        if self.stop:
            fields["stop"] = list(self.stop)
        if self.stop_token_ids:
            fields["stop_token_ids"] = list(self.stop_token_ids)
        if self.logit_bias:
            fields["logit_bias"] = {str(token): bias for token, bias in self.logit_bias.items()}
        fields |= self.extra
        if self.regex is not None:
            # As in TRL, the regex goes before generation_kwargs.
            fields["structured_outputs"] = {"regex": self.regex}
        return fields

    def check(self, known: Sequence[str]) -> None:
        """Refuse fields of `extra` that this vLLM does not know, because it drops them without an error.

        Raises:
            RecipeError: naming the field and the nearest known one.
        """
        for name in self.extra:
            if name not in known:
                remedy = suggestion(name, known, "remove it, or look it up in vLLM's SamplingParams.")
                raise RecipeError(
                    f"trl.generation_kwargs.{name}: unknown to this vLLM, which would ignore it; {remedy}"
                )
