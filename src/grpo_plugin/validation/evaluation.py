"""Evaluating a policy on held-out prompts: accuracy of samples and of the greedy answer, pass@k, by group.

The rewards are those of training. The trainer passes two functions, one that completes prompts and one that scores
completions. P = prompts, G = completions per prompt.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeVar

from grpo_plugin.config.validation import ValidationConfig
from grpo_plugin.errors import DataError, RecipeError, suggestion
from grpo_plugin.rollout.generation_log import Generations
from grpo_plugin.scoring.aggregate import mean_of_known

Row = Mapping[str, Any]
T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    """One completion of a held-out prompt."""

    text: str
    token_ids: Sequence[int]
    finish_reason: str | None


@dataclass(frozen=True)
class Scores:
    """P·G scores, prompt by prompt: the weighted totals, and those of each reward function by name."""

    totals: Sequence[float | None]
    functions: Mapping[str, Sequence[float | None]]


# (rows, completions per row, temperature) -> one list of that many answers per row; temperature 0 is greedy.
Complete = Callable[[Sequence[Row], int, float], Sequence[Sequence[Answer]]]
# (the row of each answer, answers) -> their scores.
Score = Callable[[Sequence[Row], Sequence[Answer]], Scores]


@dataclass(frozen=True)
class Judged:
    """The scored completions of P prompts, `per_prompt` (G) of each, flat and in the order of the prompts."""

    rows: Sequence[Row]
    answers: Sequence[Answer]
    scores: Scores
    per_prompt: int
    temperature: float

    def by_prompt(self, function: str) -> list[list[float | None]]:
        """P lists of G scores of one reward function."""
        scores, size = self.scores.functions[function], self.per_prompt
        return [list(scores[start : start + size]) for start in range(0, len(scores), size)]

    def generations(self, prompts: Sequence[str], policy_version: int) -> Generations:
        """The rows of the generation log; `prompts` holds the P prompts as text."""
        gold = [row.get("answer") for row in self.rows]
        return Generations(
            prompts=_repeat(prompts, self.per_prompt),
            completions=[answer.text for answer in self.answers],
            rewards=self.scores.totals,
            functions=self.scores.functions,
            finish_reasons=[answer.finish_reason for answer in self.answers],
            temperature=self.temperature,
            policy_version=policy_version,
            answers=_repeat([None if answer is None else str(answer) for answer in gold], self.per_prompt),
        )


@dataclass(frozen=True)
class Accuracy:
    """The metric over `prompts` held-out prompts; None where nothing was measured.

    `sampled` and `greedy` are means over completions that have a score, `pass_at` over prompts that have enough.
    """

    prompts: int
    sampled: float | None
    greedy: float | None
    pass_at: Mapping[int, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Evaluation:
    """The policy after `step` optimizer steps; `rewards` are the means of all functions over the samples."""

    step: int
    metric: str
    overall: Accuracy
    groups: Mapping[str, Accuracy]
    rewards: Mapping[str, float | None]

    def logs(self) -> dict[str, float]:
        """Metrics by name for the trainer's log; `metric_for_best_model` may name any of them."""
        values = {f"eval_rewards/{name}/mean": mean for name, mean in self.rewards.items()}
        for suffix, part in [("", self.overall), *((f"/{group}", part) for group, part in self.groups.items())]:
            values[f"eval_accuracy_sampled{suffix}"] = part.sampled
            values[f"eval_accuracy_greedy{suffix}"] = part.greedy
            values |= {f"eval_pass@{k}{suffix}": chance for k, chance in part.pass_at.items()}
        return {key: value for key, value in values.items() if value is not None}


def evaluate(
    step: int,
    rows: Iterable[Row],
    complete: Complete,
    score: Score,
    config: ValidationConfig,
    temperature: float,
) -> tuple[Evaluation, list[Judged]]:
    """Validate the policy after `step` optimizer steps, sampling at `temperature`; also returns the scored completions.

    Raises:
        DataError: there are no rows, or `validation.group_by` names no column.
        RecipeError: `validation.metric` names no reward function.
    """
    rows = list(islice(rows, config.max_prompts))
    if not rows:
        raise DataError("prompts.validation: no held-out prompts to validate on; name a split that has rows.")
    groups = grouped(rows, config.group_by) if config.group_by else {}
    sampled = judge(rows, complete, score, config.samples, temperature)
    greedy = judge(rows, complete, score, 1, 0.0) if config.greedy else None
    return summarize(step, sampled, greedy, groups, config), [sampled, *([greedy] if greedy else [])]


def judge(rows: Sequence[Row], complete: Complete, score: Score, per_prompt: int, temperature: float) -> Judged:
    """Complete every row `per_prompt` times and score the answers."""
    completed = complete(rows, per_prompt, temperature)
    if [len(answers) for answers in completed] != [per_prompt] * len(rows):
        raise ValueError(f"expected {per_prompt} completions for each of {len(rows)} held-out prompts")
    answers = [answer for answers in completed for answer in answers]
    return Judged(rows, answers, score(_repeat(rows, per_prompt), answers), per_prompt, temperature)


def summarize(
    step: int, sampled: Judged, greedy: Judged | None, groups: Mapping[str, Sequence[int]], config: ValidationConfig
) -> Evaluation:
    """The accuracy of all prompts and of each group; `groups` holds the indices of each group's rows."""
    metric = metric_name(config.metric, list(sampled.scores.functions))
    samples = sampled.by_prompt(metric)
    first = greedy.by_prompt(metric) if greedy else None

    def accuracy(indices: Sequence[int]) -> Accuracy:
        chosen = [samples[index] for index in indices]
        return Accuracy(
            prompts=len(indices),
            sampled=mean_of_known(score for scores in chosen for score in scores),
            greedy=mean_of_known(first[index][0] for index in indices) if first else None,
            pass_at={
                k: mean_of_known(_pass_at(scores, k, config.correct_from) for scores in chosen) for k in config.pass_at
            },
        )

    return Evaluation(
        step=step,
        metric=metric,
        overall=accuracy(range(len(samples))),
        groups={group: accuracy(indices) for group, indices in groups.items()},
        rewards={name: mean_of_known(scores) for name, scores in sampled.scores.functions.items()},
    )


def pass_at_k(n: int, correct: int, k: int) -> float:
    """Chance that at least one of k completions, drawn from n without replacement, is among the correct ones.

    The unbiased estimator 1 - C(n-c, k) / C(n, k) of Chen et al. (arXiv 2107.03374, equation 1).

    Raises:
        ValueError: k is over n.
    """
    if k > n:
        raise ValueError(f"pass@{k} needs at least {k} completions, got {n}")
    return 1.0 - math.comb(n - correct, k) / math.comb(n, k)


def metric_name(wanted: str | None, functions: Sequence[str]) -> str:
    """The reward function that counts as accuracy: the one wanted, else the first.

    Raises:
        RecipeError: none has that name.
    """
    if wanted is None:
        return functions[0]
    if wanted not in functions:
        raise RecipeError(f"validation.metric: no reward function {wanted!r}; {suggestion(wanted, functions)}")
    return wanted


def grouped(rows: Sequence[Row], column: str) -> dict[str, list[int]]:
    """The indices of the rows with each value of `column`, values in the order of their appearance.

    Raises:
        DataError: a row has no such column.
    """
    groups: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        if column not in row:
            raise DataError(
                f"validation.group_by: the held-out rows have no column {column!r}; {suggestion(column, list(row))}"
            )
        groups.setdefault(str(row[column]), []).append(index)
    return groups


def _pass_at(scores: Sequence[float | None], k: int, correct_from: float) -> float | None:
    """pass@k of one prompt from the completions that have a score; None if they are fewer than k."""
    known = [score for score in scores if score is not None]
    if len(known) < k:
        return None
    return pass_at_k(len(known), sum(score >= correct_from for score in known), k)


def _repeat(items: Iterable[T], times: int) -> list[T]:
    return [item for item in items for _ in range(times)]
