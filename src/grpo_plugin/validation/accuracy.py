"""The figures of one evaluation: accuracy of samples and of the greedy answer, pass@k, maj@k, errors, lengths."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from grpo_plugin.config.prompts import VALIDATION


@dataclass(frozen=True)
class Accuracy:
    """The metric over `prompts` held-out prompts; None where nothing was measured.

    Attributes:
        sampled, greedy: means over completions that have a score; `sampled` is mean@n, with n samples of each prompt.
        pass_at, majority_at: means over prompts that have enough of them, by k.
        stderr: standard errors by bootstrap over prompts, by figure: "sampled", "greedy", "pass@8", "maj@8".
        truncated: share of the samples that were cut off at the limit.
        mean_length, max_length: of the samples, in tokens; `mean_terminated_length` of those not cut off.
    """

    prompts: int
    sampled: float | None
    greedy: float | None
    pass_at: Mapping[int, float | None] = field(default_factory=dict)
    majority_at: Mapping[int, float | None] = field(default_factory=dict)
    stderr: Mapping[str, float] = field(default_factory=dict)
    truncated: float | None = None
    mean_length: float | None = None
    mean_terminated_length: float | None = None
    max_length: int | None = None

    def figures(self) -> Iterator[tuple[str, float | None]]:
        """("sampled" | "greedy" | "pass@k" | "maj@k", value) of what was measured; `sampled` always."""
        yield "sampled", self.sampled
        if self.greedy is not None:
            yield "greedy", self.greedy
        for k, chance in self.pass_at.items():
            yield f"pass@{k}", chance
        for k, chance in self.majority_at.items():
            yield f"maj@{k}", chance

    def metrics(self) -> dict[str, float | None]:
        """All figures by their names in the log, without prefix and group."""
        values: dict[str, float | None] = {}
        for name, value in self.figures():
            logged = name if "@" in name else f"accuracy_{name}"
            values |= {logged: value, f"{logged}_stderr": self.stderr.get(name)}
        return values | {
            "completions/clipped_ratio": self.truncated,
            "completions/mean_length": self.mean_length,
            "completions/mean_terminated_length": self.mean_terminated_length,
            "completions/max_length": self.max_length,
        }


@dataclass(frozen=True)
class Evaluation:
    """The policy after `step` optimizer steps on one set of held-out prompts.

    Attributes:
        metric: the name of the reward function that counts as accuracy.
        groups: by the values of `validation.group_by`.
        rewards: the means of all functions over the samples.
        set: the name of the set in prompts.validation, "validation" where it has none.
        samples: sampled completions per prompt.
    """

    step: int
    metric: str
    overall: Accuracy
    groups: Mapping[str, Accuracy]
    rewards: Mapping[str, float | None]
    set: str = VALIDATION
    samples: int = 1

    def logs(self) -> dict[str, float]:
        """Metrics by name for the trainer's log: `eval_accuracy_greedy`, or `eval_SET/accuracy_greedy` of a named set.

        Those of a group end with `/GROUP`.
        """
        prefix = "eval_" if self.set == VALIDATION else f"eval_{self.set}/"
        values = {f"{prefix}rewards/{name}/mean": mean for name, mean in self.rewards.items()}
        for suffix, part in [("", self.overall), *((f"/{group}", part) for group, part in self.groups.items())]:
            values |= {f"{prefix}{name}{suffix}": value for name, value in part.metrics().items()}
        return {key: float(value) for key, value in values.items() if value is not None}


def by_set(evaluations: Sequence[Evaluation]) -> dict[str, list[Evaluation]]:
    """The evaluations of each set, sets and evaluations in their order."""
    sets: dict[str, list[Evaluation]] = {}
    for evaluation in evaluations:
        sets.setdefault(evaluation.set, []).append(evaluation)
    return sets


def pass_at_k(n: int, correct: int, k: int) -> float:
    """Chance that at least one of k completions, drawn from n without replacement, is among the correct ones.

    The unbiased estimator 1 - C(n-c, k) / C(n, k) of Chen et al. (arXiv 2107.03374, equation 1).

    Raises:
        ValueError: k is over n.
    """
    if k > n:
        raise ValueError(f"pass@{k} needs at least {k} completions, got {n}")
    return 1.0 - math.comb(n - correct, k) / math.comb(n, k)


def lengths(answers: Sequence[Any]) -> dict[str, Any]:
    """The fields of `Accuracy` on truncation and lengths, of answers with `token_ids` and `finish_reason`."""
    tokens = [len(answer.token_ids) for answer in answers]
    ended = [len(answer.token_ids) for answer in answers if answer.finish_reason != "length"]
    return {
        "truncated": 1 - len(ended) / len(tokens),
        "mean_length": sum(tokens) / len(tokens),
        "mean_terminated_length": sum(ended) / len(ended) if ended else None,
        "max_length": max(tokens),
    }
