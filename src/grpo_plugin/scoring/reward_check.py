"""Reward functions tried on the data before training: gold answers, nothing, and the answers of other rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from grpo_plugin.scoring.aggregate import mean_of_known
from grpo_plugin.scoring.batch_scores import BatchScores
from grpo_plugin.scoring.completions import shorten
from grpo_plugin.scoring.mathematics import equivalent, gold_text, is_readable
from grpo_plugin.scoring.reward import Reward
from grpo_plugin.scoring.reward_set import RewardSet
from grpo_plugin.scoring.signature import GOLD_COLUMNS

# Completions that state an answer, one for each way in which rewards look for it; {} is the answer.
STATEMENTS = (
    "<think>\nFirst, I think about it. Therefore I can answer.\n</think>\nThe answer is \\boxed{{{}}}.",
    "<think>\nFirst, I think about it. Therefore I can answer.\n</think>\n<answer>{}</answer>",
    "<reasoning>\nI think about it.\n</reasoning>\n<answer>\n{}\n</answer>\n",
    "I think about it.\nAnswer: {}",
    "{}",
)
_EQUAL = 1e-9
_CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True)
class Example:
    """A row of the data: how the user finds it, its prompt, its columns."""

    label: str
    prompt: Any
    columns: Mapping[str, Any]

    @property
    def gold(self) -> Any:
        return next((self.columns[name] for name in GOLD_COLUMNS if name in self.columns), None)


@dataclass
class FunctionReport:
    """What one function made of the data; means are over rows, None where it abstained from all.

    `unscored` are rows (with their gold answers) whose gold answer did not get what gold answers get elsewhere.
    """

    name: str
    columns: list[str]
    place: str
    gold: float | None
    empty: float | None
    shuffled: float | None
    seconds: float
    unscored: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def rehearse(rewards: RewardSet, examples: Sequence[Example]) -> list[FunctionReport]:
    """Score every example's gold answer, an empty completion, and the gold answer of another row, by every function.

    Raises:
        RewardError: a function is broken, or asks for a column that the data lacks.
    """
    names = list(dict.fromkeys(name for example in examples for name in example.columns))
    rewards.check_columns(names)
    golds = [example.gold for example in examples]
    best = _best_of([_scores(rewards, examples, _stated(golds, statement)).by_function for statement in STATEMENTS])
    empty = _scores(rewards, examples, [""] * len(examples)).by_function
    others = golds[1:] + golds[:1]
    tried = [_scores(rewards, examples, _stated(others, statement)) for statement in STATEMENTS]
    shuffled, wall = _best_of([scored.by_function for scored in tried]), tried[-1].wall_seconds
    return [
        _report(rewards, reward, examples, best[place], empty[place], shuffled[place], wall[reward.name])
        for place, reward in enumerate(rewards.rewards)
    ]


def _scores(rewards: RewardSet, examples: Sequence[Example], texts: Sequence[str]) -> BatchScores:
    columns = {
        name: [example.columns.get(name) for example in examples]
        for name in dict.fromkeys(name for example in examples for name in example.columns)
    }
    completions = [[{"role": "assistant", "content": text}] for text in texts]
    ids = [[0] * (len(text) // _CHARACTERS_PER_TOKEN + 1) for text in texts]
    return rewards.score([example.prompt for example in examples], completions, ids, columns)


def _stated(golds: Sequence[Any], statement: str) -> list[str]:
    return [statement.format(gold_text(gold)) for gold in golds]


def _best_of(variants: Sequence[list[list[float | None]]]) -> list[list[float | None]]:
    """By function and row, the highest score over all ways of stating an answer."""
    return [
        [max((score for score in row if score is not None), default=None) for row in zip(*columns, strict=True)]
        for columns in zip(*variants, strict=True)
    ]


def _report(
    rewards: RewardSet,
    reward: Reward,
    examples: Sequence[Example],
    gold: Sequence[float | None],
    empty: Sequence[float | None],
    shuffled: Sequence[float | None],
    wall: float,
) -> FunctionReport:
    available = list(dict.fromkeys(name for example in examples for name in example.columns))
    columns = [name for name in reward.signature.columns(available) if name != "row"]
    if reward.signature.takes_any:
        columns = [name for name in columns if name in reward.signature.required | reward.signature.optional]
    report = FunctionReport(
        name=reward.name,
        columns=columns,
        place=rewards.places()[reward.name],
        gold=mean_of_known(gold),
        empty=mean_of_known(empty),
        shuffled=mean_of_known(shuffled),
        seconds=wall / len(examples),
    )
    if set(columns) & set(GOLD_COLUMNS):
        _judge(report, examples, gold, empty, shuffled)
    return report


def _judge(
    report: FunctionReport,
    examples: Sequence[Example],
    gold: Sequence[float | None],
    empty: Sequence[float | None],
    shuffled: Sequence[float | None],
) -> None:
    """What a function that reads gold answers must do: reward them most, and more than nothing or another answer."""
    highest = max((score for score in gold if score is not None), default=None)
    if highest is None:
        report.problems.append("has no score for any gold answer")
        return
    report.unscored = [
        _named(example)
        for example, score in zip(examples, gold, strict=True)
        if score is None or score < highest - _EQUAL
    ]
    for name, scores in (("an empty completion", empty), ("the answer of another row", shuffled)):
        fooled = [
            _named(example)
            for place, (example, right, wrong) in enumerate(zip(examples, gold, scores, strict=True))
            if right is not None and wrong is not None and wrong >= right - _EQUAL
            and not (scores is shuffled and _same_gold(example, examples[(place + 1) % len(examples)]))
            and right >= highest - _EQUAL
        ]  # fmt: skip
        if fooled:
            report.problems.append(f"scores {name} as high as the gold answer in {len(fooled)} rows ({fooled[0]})")


def _same_gold(example: Example, other: Example) -> bool:
    return example.gold == other.gold or equivalent(gold_text(other.gold), gold_text(example.gold))


def _named(example: Example) -> str:
    gold = gold_text(example.gold)
    return f"{example.label}: {shorten(gold, 40)!r}" + ("" if is_readable(gold) else " (cannot be read)")
