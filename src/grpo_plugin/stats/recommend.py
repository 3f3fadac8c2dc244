"""Sequence lengths to put into a recipe, from the lengths that were measured."""

from dataclasses import dataclass

from grpo_plugin.stats.distribution import Distribution

STEP = 64
# Answers in datasets are short; a policy that reasons writes more.
REASONING = 4
LEAST_COMPLETION = 256


@dataclass(frozen=True)
class Recommendation:
    """Values for the recipe, and one line on where each comes from."""

    max_length: int
    max_completion_length: int
    because: tuple[str, str]

    @property
    def total(self) -> int:
        """For `sequence_len` and `vllm.max_model_len`: the longest prompt and the longest completion."""
        return self.max_length + self.max_completion_length

    def to_json(self) -> dict[str, int]:
        return {
            "prompts.max_length": self.max_length,
            "trl.max_completion_length": self.max_completion_length,
            "sequence_len": self.total,
            "vllm.max_model_len": self.total,
        }


def recommend(
    prompt: Distribution, answer: Distribution, completion: Distribution | None = None, in_recipe: int | None = None
) -> Recommendation:
    """Lengths that hold all of the data but outliers, in multiples of 64 tokens.

    Args:
        completion: generated completions; where there are some, max_completion_length follows from them.
        in_recipe: the recipe's own max_completion_length, used where there are none.
    """
    length, why_length = _covering(prompt, "prompts")
    if completion is not None and completion.rows:
        tokens, why = _covering(completion, "completions")
    elif in_recipe:
        tokens, why = in_recipe, "as in the recipe; measure generations with --completions to check it"
    elif answer.rows:
        tokens = max(LEAST_COMPLETION, _up(REASONING * answer.quantile(0.99)))
        why = f"{REASONING} times the 99th percentile of the answers, a guess; measure generations with --completions"
    else:
        tokens, why = LEAST_COMPLETION, "TRL's default, as there are neither answers nor completions to measure"
    return Recommendation(length, tokens, (why_length, why))


def _covering(lengths: Distribution, what: str) -> tuple[int, str]:
    """A limit and the reason for it; without a few outliers it can be much lower."""
    limit = _up(lengths.usual)
    if limit >= lengths.most:
        return limit, f"holds all {what}"
    return limit, f"holds 99.9 % of the {what}; {lengths.over(limit):,} are longer, up to {lengths.most:,} tokens"


def _up(tokens: float) -> int:
    return max(STEP, int(-(-tokens // STEP)) * STEP)
