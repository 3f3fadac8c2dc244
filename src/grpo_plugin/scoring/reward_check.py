"""Reward functions tried on the data before training: gold answers, empty completions, the answers of other rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from grpo_plugin.scoring.aggregate import mean_of_known
from grpo_plugin.scoring.batch_scores import BatchScores
from grpo_plugin.scoring.completions import guessed_ids, opening_of, shorten, visible_completion
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
# Columns with the gold answer: by itself, or within an entry of reasoning-gym.
_WITH_GOLD = frozenset((*GOLD_COLUMNS, "reasoning_gym"))

Scores = Sequence[float | None]


@dataclass(frozen=True)
class GoldRow:
    """A row of the data with its gold answer.

    Attributes:
        label: how the user finds it.
        prompt: as rewards get it: chat messages, or text for a model without a chat template.
        columns: its columns as rewards get them.
        prompt_text: the prompt as the model sees it, through its chat template; "" where that is not known.
    """

    label: str
    prompt: Any
    columns: Mapping[str, Any]
    prompt_text: str = ""

    @property
    def gold(self) -> Any:
        """The gold answer: the column of prompts.answer_key, or the data's own gold column; None without one."""
        return next((self.columns[name] for name in GOLD_COLUMNS if name in self.columns), None)

    def completion(self, text: str) -> Any:
        """A completion that says `text`, as rewards would get it after this row's prompt."""
        opening = opening_of(self.prompt_text)
        tag = opening.rstrip()  # the prompt has it already, so the model would not write it
        own = text.removeprefix(opening if text.startswith(opening) else tag)
        visible = visible_completion(self.prompt_text, own)
        return visible if isinstance(self.prompt, str) else [{"role": "assistant", "content": visible}]


@dataclass
class FunctionReport:
    """The scores of one function; means are over rows, None where it gave no score to any.

    Attributes:
        columns: those it reads, by name.
        place: where it runs.
        gold, empty, other: mean scores of gold answers, empty completions, and the gold answers of other rows.
        seconds: per completion.
        unscored: rows (with their gold answers) whose gold answer got less than the best one did.
        problems: what is wrong with its scores, as the ends of sentences.
    """

    name: str
    columns: list[str]
    place: str
    gold: float | None
    empty: float | None
    other: float | None
    seconds: float
    unscored: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def check_on(rewards: RewardSet, rows: Sequence[GoldRow]) -> list[FunctionReport]:
    """Score every row's gold answer, an empty completion, and the gold answer of the next row, by every function.

    Raises:
        RewardError: a function is broken, or asks for a column that the data lacks.
    """
    rewards.check_columns(_columns(rows))
    golds = [row.gold for row in rows]
    gold = [_scored(rewards, rows, _stated(golds, statement)) for statement in STATEMENTS]
    other = [_scored(rewards, rows, _stated(golds[1:] + golds[:1], statement)) for statement in STATEMENTS]
    empty = _scored(rewards, rows, [""] * len(rows))
    return [
        _report(rewards, reward, rows, _best(gold, place), empty.by_function[place], _best(other, place), gold[-1])
        for place, reward in enumerate(rewards.rewards)
    ]


def _columns(rows: Sequence[GoldRow]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row.columns))


def _scored(rewards: RewardSet, rows: Sequence[GoldRow], texts: Sequence[str]) -> BatchScores:
    columns = {name: [row.columns.get(name) for row in rows] for name in _columns(rows)}
    completions = [row.completion(text) for row, text in zip(rows, texts, strict=True)]
    ids = [guessed_ids(text) for text in texts]
    return rewards.score([row.prompt for row in rows], completions, ids, columns)


def _stated(golds: Sequence[Any], statement: str) -> list[str]:
    return [statement.format(gold_text(gold)) for gold in golds]


def _best(tries: Sequence[BatchScores], place: int) -> list[float | None]:
    """By row, the highest score that function `place` gave over all ways of stating an answer."""
    columns = [scored.by_function[place] for scored in tries]
    return [max((score for score in row if score is not None), default=None) for row in zip(*columns, strict=True)]


def _report(
    rewards: RewardSet,
    reward: Reward,
    rows: Sequence[GoldRow],
    gold: Scores,
    empty: Scores,
    other: Scores,
    timed: BatchScores,
) -> FunctionReport:
    columns = _columns_read(reward, _columns(rows))
    report = FunctionReport(
        name=reward.name,
        columns=columns,
        place=rewards.places()[reward.name],
        gold=mean_of_known(gold),
        empty=mean_of_known(empty),
        other=mean_of_known(other),
        seconds=timed.wall_seconds[reward.name] / len(rows),
    )
    if _WITH_GOLD.intersection(columns):
        report.problems += _other_golds(columns, rows)
        _check_scores(report, rows, gold, empty, other)
    return report


def _columns_read(reward: Reward, available: Sequence[str]) -> list[str]:
    """The columns that a function names; for EasyR1's shapes, the one that holds the gold answer."""
    columns = reward.signature.columns(available)
    if reward.signature.shape != "trl":
        return columns[:1]
    named = reward.signature.required | reward.signature.optional
    return [name for name in columns if name in named and name != "row"]


def _other_golds(columns: Sequence[str], rows: Sequence[GoldRow]) -> list[str]:
    """A problem for each gold column that a function reads and that says something else than the recipe's answer."""
    problems = []
    for name in columns:
        differ = [row for row in rows if name in GOLD_COLUMNS and row.columns.get(name, row.gold) != row.gold]
        if differ:
            problems.append(
                f"reads the column {name!r}, which differs from the answer that the recipe names in {len(differ)} rows "
                f"({differ[0].label}: {shorten(gold_text(differ[0].columns[name]), 40)!r} and "
                f"{shorten(gold_text(differ[0].gold), 40)!r})"
            )
    return problems


def _check_scores(report: FunctionReport, rows: Sequence[GoldRow], gold: Scores, empty: Scores, other: Scores) -> None:
    """A function that reads gold answers must give them most, and more than nothing or another answer.

    A row without a gold answer, such as one of a puzzle with many solutions, is none that could be checked.
    """
    has_gold = [row.gold is not None for row in rows]
    if not any(has_gold):
        return
    highest = max((score for score in gold if score is not None), default=None)
    if highest is None:
        report.problems.append("has no score for any gold answer")
        return
    best = [score is not None and score >= highest - _EQUAL for score in gold]
    report.unscored = [
        _named(row) for row, is_best, has in zip(rows, best, has_gold, strict=True) if has and not is_best
    ]
    same = [_same_gold(row, rows[(place + 1) % len(rows)]) for place, row in enumerate(rows)]
    for what, scores, known in (
        ("an empty completion", empty, [False] * len(rows)),
        ("the answer of another row", other, same),
    ):
        fooled = [
            _named(row)
            for row, has, is_best, score, right, skip in zip(rows, has_gold, best, scores, gold, known, strict=True)
            if has and is_best and not skip and score is not None and right is not None and score >= right - _EQUAL
        ]
        if fooled:
            report.problems.append(f"scores {what} as high as the gold answer in {len(fooled)} rows ({fooled[0]})")


def _same_gold(row: GoldRow, other: GoldRow) -> bool:
    return row.gold == other.gold or equivalent(gold_text(other.gold), gold_text(row.gold))


def _named(row: GoldRow) -> str:
    gold = gold_text(row.gold)
    return f"{row.label}: {shorten(gold, 40)!r}" + ("" if is_readable(gold) else " (cannot be read)")
