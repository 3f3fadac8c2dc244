"""Every generation of a run, kept as Parquet: `pandas.read_parquet(output_dir / "generations")` reads all of training.

Those of validation are in the folder `validation`, in the same columns.

One file per step and split, written under a hidden name and renamed, so that a reader never sees half a file. A run
that is resumed writes its steps again: their files replace the old ones, and files of later steps go.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from grpo_plugin.files import atomic_write

COLUMNS = {
    "step": pa.int64(),
    "split": pa.string(),
    "prompt": pa.string(),
    "completion": pa.string(),
    "answer": pa.string(),
    "reward": pa.float64(),
    "advantage": pa.float64(),
    "score_seconds": pa.float64(),
    "temperature": pa.float64(),
    "finish_reason": pa.string(),
    "policy_version": pa.int64(),
    "row": pa.int64(),
    "tokens": pa.int64(),
    "vote": pa.int64(),
}
# Of episodes; only where there are some. The messages after the prompt are JSON; images in them are left out.
EPISODE_COLUMNS = {
    "turns": pa.int64(),
    "out_of_turns": pa.bool_(),
    "tool_calls": pa.int64(),
    "tool_failures": pa.int64(),
    "messages": pa.string(),
}
# One list for each completion, of what its tokens have, and its prompt's ids; only with `rollout.record_tokens`.
TOKEN_COLUMNS = {
    "prompt_ids": pa.list_(pa.int32()),
    "token_ids": pa.list_(pa.int32()),
    "token_texts": pa.list_(pa.string()),
    "token_sampled": pa.list_(pa.bool_()),
    "token_logps": pa.list_(pa.float32()),
    "token_old_logps": pa.list_(pa.float32()),
    "token_advantages": pa.list_(pa.float32()),
}


@dataclass(frozen=True)
class Generations:
    """One batch of scored completions, as B-long columns (B = completions).

    `rewards` holds the weighted totals, `functions` the unweighted scores of each reward function by name; None
    stands for a score that does not exist. `answers` are gold answers; `temperature` 0 is greedy. `rows` are the places
    of the prompts in their data, so that one prompt can be followed over the steps; `tokens` counts what the policy
    sampled; `votes` are equal for equivalent answers to one prompt. `extra` holds what reward functions logged through
    TRL's `log_extra`, by column. `per_token` has, by name in TOKEN_COLUMNS, a list for each completion, or None;
    `episodes` has, by name in EPISODE_COLUMNS, a value for each.
    """

    prompts: Sequence[str]
    completions: Sequence[str]
    rewards: Sequence[float | None]
    functions: Mapping[str, Sequence[float | None]]
    finish_reasons: Sequence[str | None]
    temperature: float
    policy_version: int
    advantages: Sequence[float | None] | None = None
    answers: Sequence[str | None] | None = None
    score_seconds: Sequence[float | None] | None = None
    rows: Sequence[int] | None = None
    tokens: Sequence[int] | None = None
    votes: Sequence[int | None] | None = None
    extra: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    per_token: Mapping[str, Sequence[Sequence[Any] | None]] = field(default_factory=dict)
    episodes: Mapping[str, Sequence[Any]] = field(default_factory=dict)


class Episode(Protocol):
    """What the log keeps of an episode."""

    @property
    def turns(self) -> int: ...
    @property
    def out_of_turns(self) -> bool: ...
    @property
    def tool_calls(self) -> int: ...
    @property
    def tool_failures(self) -> int: ...
    @property
    def messages(self) -> Sequence[Mapping[str, Any]]: ...


def episode_columns(episodes: Sequence[Episode | None]) -> dict[str, list[Any]]:
    """`Generations.episodes` of B completions; empty where none of them is an episode."""
    if not any(episodes):
        return {}
    return {
        "turns": [episode and episode.turns for episode in episodes],
        "out_of_turns": [episode and episode.out_of_turns for episode in episodes],
        "tool_calls": [episode and episode.tool_calls for episode in episodes],
        "tool_failures": [episode and episode.tool_failures for episode in episodes],
        "messages": [episode and json.dumps(list(episode.messages), default=_left_out) for episode in episodes],
    }


def _left_out(value: Any) -> str:
    """What stands in JSON for a value that is none of its types, such as an image."""
    return f"<{type(value).__name__}>"


class GenerationLog:
    """Writes `folder/SPLIT-STEP-PART.parquet`; parts number the batches of one step."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._last: dict[str, tuple[int, int]] = {}

    def write(self, step: int, batch: Generations, split: str = "train") -> Path:
        """Keep one batch of `step` (training: the step it trains, from 1; validation: the steps done before it).

        Args:
            split: "train", or the name of a set of held-out prompts.
        """
        path = self.folder / f"{split}-{step:07d}-{self._part(step, split):03d}.parquet"
        with atomic_write(path) as file:
            pq.write_table(_table(step, batch, split), file)
        return path

    def keep_until(self, step: int) -> None:
        """Remove the files after `step`, the one that a run goes on from; all of an earlier run's for 0."""
        for path in self.folder.glob("*-*-*.parquet"):
            if step == 0 or int(path.stem.rsplit("-", 2)[1]) > step:
                path.unlink()

    def _part(self, step: int, split: str) -> int:
        if split not in self._last:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._forget(step, split)
        last_step, part = self._last.get(split, (step, -1))
        part = part + 1 if step == last_step else 0
        self._last[split] = step, part
        return part

    def _forget(self, step: int, split: str) -> None:
        """Remove the files that an earlier, longer run left for this step and later ones."""
        for path in self.folder.glob(f"{split}-*.parquet"):
            name, of_step, _ = path.stem.rsplit("-", 2)
            if name == split and int(of_step) >= step:
                path.unlink()


def function_columns(names: Sequence[str]) -> dict[str, str]:
    """Reward function name → column name; a name that is already a column is prefixed with `reward_`."""
    reserved = COLUMNS.keys() | TOKEN_COLUMNS.keys() | EPISODE_COLUMNS.keys()
    taken = reserved | set(names)
    columns = {}
    for name in names:
        column = name
        while name in reserved and column in taken:
            column = f"reward_{column}"
        taken.add(column)
        columns[name] = column
    return columns


def _table(step: int, batch: Generations, split: str) -> pa.Table:
    size = len(batch.completions)
    nothing = [None] * size
    values: dict[str, Any] = {
        "step": [step] * size,
        "split": [split] * size,
        "prompt": batch.prompts,
        "completion": batch.completions,
        "answer": nothing if batch.answers is None else batch.answers,
        "reward": batch.rewards,
        "advantage": nothing if batch.advantages is None else batch.advantages,
        "score_seconds": nothing if batch.score_seconds is None else batch.score_seconds,
        "temperature": [batch.temperature] * size,
        "finish_reason": batch.finish_reasons,
        "policy_version": [batch.policy_version] * size,
        "row": nothing if batch.rows is None else batch.rows,
        "tokens": nothing if batch.tokens is None else batch.tokens,
        "vote": nothing if batch.votes is None else batch.votes,
        **batch.per_token,
        **batch.episodes,
    }
    types = COLUMNS | {name: TOKEN_COLUMNS[name] for name in batch.per_token}
    types |= {name: EPISODE_COLUMNS[name] for name in batch.episodes}
    for name, column in function_columns(list(batch.functions)).items():
        values[column] = batch.functions[name]
        types[column] = pa.float64()
    for name, logged in batch.extra.items():
        column = name if name not in types else f"extra_{name}"
        values[column], types[column] = _typed(logged)
    return pa.table(values, schema=pa.schema(types))


def _typed(logged: Sequence[Any]) -> tuple[list[Any], pa.DataType]:
    """Values of unknown types as one Arrow column: numbers where all are numbers or None, else text."""
    if all(value is None or isinstance(value, int | float) for value in logged):
        return [None if value is None else float(value) for value in logged], pa.float64()
    return [None if value is None else str(value) for value in logged], pa.string()
