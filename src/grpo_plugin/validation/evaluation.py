"""Evaluating a policy on a set of held-out prompts: accuracy of samples and of the greedy answer, by group.

The rewards are those of training, or the set's own. The trainer passes two functions, one that completes prompts and
one that scores completions. P = prompts, G = completions per prompt.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, TypeVar

from grpo_plugin.config.prompts import VALIDATION
from grpo_plugin.config.validation import EvaluationOptions
from grpo_plugin.errors import DataError, RecipeError, suggestion
from grpo_plugin.rollout.generation_log import Generations, episode_columns
from grpo_plugin.scoring.aggregate import mean_of_known
from grpo_plugin.validation.accuracy import Accuracy, Evaluation, lengths, pass_at_k
from grpo_plugin.validation.bootstrap import standard_errors
from grpo_plugin.validation.votes import majority_at_k

Row = Mapping[str, Any]
T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    """One completion of a held-out prompt.

    `prompt` is the text that the model saw, `episode` what the generation log keeps of one, if it is an episode.
    """

    text: str
    token_ids: Sequence[int]
    finish_reason: str | None
    episode: Any = None
    prompt: str = ""


@dataclass(frozen=True)
class Scores:
    """P·G scores, prompt by prompt: the weighted totals, and those of each reward function by name.

    `votes` are those of maj@k, within each prompt (`votes.votes`); None where none were counted.
    """

    totals: Sequence[float | None]
    functions: Mapping[str, Sequence[float | None]]
    votes: Sequence[int | None] | None = None


# (rows, completions per row, temperature) -> one list of that many answers per row; temperature 0 is greedy.
Complete = Callable[[Sequence[Row], int, float], Sequence[Sequence[Answer]]]
# (the row of each answer, answers, answers per row) -> their scores.
Score = Callable[[Sequence[Row], Sequence[Answer], int], Scores]


@dataclass(frozen=True)
class Judged:
    """The scored completions of P prompts, `per_prompt` (G) of each, flat and in the order of the prompts."""

    rows: Sequence[Row]
    answers: Sequence[Answer]
    scores: Scores
    per_prompt: int
    temperature: float

    def by_prompt(self, values: Sequence[T]) -> list[Sequence[T]]:
        """P lists of G values."""
        size = self.per_prompt
        return [values[start : start + size] for start in range(0, len(values), size)]

    def generations(self, policy_version: int) -> Generations:
        """The rows of the generation log."""
        gold = [row.get("answer") for row in self.rows]
        return Generations(
            prompts=[answer.prompt for answer in self.answers],
            completions=[answer.text for answer in self.answers],
            rewards=self.scores.totals,
            functions=self.scores.functions,
            finish_reasons=[answer.finish_reason for answer in self.answers],
            temperature=self.temperature,
            policy_version=policy_version,
            answers=_repeat([None if answer is None else str(answer) for answer in gold], self.per_prompt),
            rows=_repeat(range(len(self.rows)), self.per_prompt),
            tokens=[len(answer.token_ids) for answer in self.answers],
            votes=self.scores.votes,
            episodes=episode_columns([answer.episode for answer in self.answers]),
        )


def evaluate(
    step: int,
    rows: Iterable[Row],
    complete: Complete,
    score: Score,
    options: EvaluationOptions,
    temperature: float,
    name: str = VALIDATION,
) -> tuple[Evaluation, list[Judged]]:
    """Evaluate the policy after `step` optimizer steps, sampling at `temperature`; also returns the scored completions.

    Args:
        name: of the set of prompts.

    Raises:
        DataError: there are no rows, or `validation.group_by` names no column.
        RecipeError: `validation.metric` names no reward function.
    """
    rows = list(islice(rows, options.max_prompts))
    if not rows:
        raise DataError("prompts.validation: no held-out prompts to validate on; name a split that has rows.")
    groups = grouped(rows, options.group_by) if options.group_by else {}
    sampled = judge(rows, complete, score, options.samples, temperature)
    greedy = judge(rows, complete, score, 1, 0.0) if options.greedy else None
    evaluation = summarize(step, sampled, greedy, groups, options, name)
    return evaluation, [sampled, *([greedy] if greedy else [])]


def judge(rows: Sequence[Row], complete: Complete, score: Score, per_prompt: int, temperature: float) -> Judged:
    """Complete every row `per_prompt` times and score the answers."""
    completed = complete(rows, per_prompt, temperature)
    if [len(answers) for answers in completed] != [per_prompt] * len(rows):
        raise ValueError(f"expected {per_prompt} completions for each of {len(rows)} held-out prompts")
    answers = [answer for answers in completed for answer in answers]
    return Judged(rows, answers, score(_repeat(rows, per_prompt), answers, per_prompt), per_prompt, temperature)


def summarize(
    step: int,
    sampled: Judged,
    greedy: Judged | None,
    groups: Mapping[str, Sequence[int]],
    options: EvaluationOptions,
    name: str = VALIDATION,
) -> Evaluation:
    """The accuracy of all prompts and of each group; `groups` holds the indices of each group's rows."""
    metric = metric_name(options.metric, list(sampled.scores.functions))
    figures = _figures(sampled, greedy, metric, options)
    answers = sampled.by_prompt(sampled.answers)

    def accuracy(indices: Sequence[int]) -> Accuracy:
        chosen = {figure: [prompts[index] for index in indices] for figure, prompts in figures.items()}
        means = {figure: mean_of_known(v for values in prompts for v in values) for figure, prompts in chosen.items()}
        return Accuracy(
            prompts=len(indices),
            sampled=means["sampled"],
            greedy=means.get("greedy"),
            pass_at={k: means[f"pass@{k}"] for k in options.pass_at},
            majority_at={k: means[f"maj@{k}"] for k in options.majority_at},
            stderr=standard_errors(chosen),
            **lengths([answer for index in indices for answer in answers[index]]),
        )

    return Evaluation(
        step=step,
        metric=metric,
        overall=accuracy(range(len(answers))),
        groups={group: accuracy(indices) for group, indices in groups.items()},
        rewards={function: mean_of_known(scores) for function, scores in sampled.scores.functions.items()},
        set=name,
        samples=sampled.per_prompt,
    )


def log_names(name: str, rows: Iterable[Row], options: EvaluationOptions, functions: Sequence[str]) -> list[str]:
    """The names of all metrics that evaluations of the set `name` may log (`Evaluation.logs`).

    Raises:
        DataError: `validation.group_by` names no column.
    """
    groups = grouped(list(islice(rows, options.max_prompts)), options.group_by) if options.group_by else {}
    ks = {"pass_at": dict.fromkeys(options.pass_at, 0.0), "majority_at": dict.fromkeys(options.majority_at, 0.0)}
    lengths = dict.fromkeys(("truncated", "mean_length", "mean_terminated_length", "max_length"), 0)
    part = Accuracy(0, 0.0, 0.0 if options.greedy else None, **ks, **lengths)  # type: ignore[arg-type]
    part = replace(part, stderr={figure: 0.0 for figure, _ in part.figures()})
    return list(Evaluation(0, "", part, dict.fromkeys(groups, part), dict.fromkeys(functions, 0.0), set=name).logs())


def _figures(
    sampled: Judged, greedy: Judged | None, metric: str, options: EvaluationOptions
) -> dict[str, list[Sequence[float | None]]]:
    """The values of each prompt, by figure: one per completion, or one of all the prompt's completions."""
    samples = sampled.by_prompt(sampled.scores.functions[metric])
    figures: dict[str, list[Sequence[float | None]]] = {"sampled": samples}
    if greedy is not None:
        figures["greedy"] = greedy.by_prompt(greedy.scores.functions[metric])
    for k in options.pass_at:
        figures[f"pass@{k}"] = [[_pass_at(scores, k, options.correct_from)] for scores in samples]
    votes = sampled.by_prompt(sampled.scores.votes or [None] * len(sampled.answers))
    for k in options.majority_at:
        figures[f"maj@{k}"] = [
            [_majority_at(cast, scores, k, options.correct_from)] for cast, scores in zip(votes, samples, strict=True)
        ]
    return figures


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


def _majority_at(
    cast: Sequence[int | None], scores: Sequence[float | None], k: int, correct_from: float
) -> float | None:
    """maj@k of one prompt from the completions that have a score; None if they are fewer than k."""
    known = [(vote, score) for vote, score in zip(cast, scores, strict=True) if score is not None]
    if len(known) < k:
        return None
    return majority_at_k([vote for vote, _ in known], [float(score >= correct_from) for _, score in known], k)


def _repeat(items: Iterable[T], times: int) -> list[T]:
    return [item for item in items for _ in range(times)]
