"""Rollouts read back from the generation log of a run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from grpo_plugin.errors import DataError
from grpo_plugin.rollout.generation_log import function_columns
from grpo_plugin.trainer.replay import Recorded
from grpo_plugin.trainer.rollout import Rollout

NAN = float("nan")


def read_step(
    run: Path, step: int, functions: Sequence[str], weights: Sequence[float], group_size: int, longest: int
) -> Recorded:
    """The rollouts that were generated for the batch whose first optimizer step is `step`.

    Args:
        functions, weights: of the reward functions of the run.
        longest: `trl.max_completion_length`.

    Raises:
        DataError: there is no such batch, or its log has neither tokens nor their number.
    """
    import pyarrow.parquet as parquet

    files = sorted((run / "generations").glob(f"train-{step:07d}-*.parquet"))
    if not files:
        known = sorted({int(file.name.split("-")[1]) for file in (run / "generations").glob("train-*.parquet")})
        raise DataError(
            f"--step: no batch of {run} begins with step {step}; known: {', '.join(map(str, known)) or '-'}."
        )
    rows = [row for file in files for row in parquet.read_table(file).to_pylist()]
    if rows and rows[0].get("token_ids") is None and rows[0].get("tokens") is None:
        raise DataError(f"{files[0]}: was written without the number of tokens; replay a run of this version.")
    columns = function_columns(functions)
    rollouts = [_rollout(row, columns) for row in rows]
    return Recorded(rollouts, group_size, weights, longest)


def has_tokens(recorded: Recorded) -> bool:
    """Whether the token ids of prompts and completions are known, which the policy needs."""
    return all(rollout.prompt_ids for rollout in recorded.rollouts)


def _rollout(row: Mapping[str, Any], columns: Mapping[str, str]) -> Rollout:
    """One row as a rollout; where ids were not recorded, as many zeros as it has tokens, and no prompt.

    Args:
        columns: of each reward function's scores, by its name.
    """
    ids = row.get("token_ids")
    scores = tuple(NAN if row.get(name) is None else float(row[name]) for name in columns.values())
    return Rollout(
        row=0,
        prompt_ids=list(row.get("prompt_ids") or []),
        completion_ids=[0] * int(row["tokens"]) if ids is None else list(ids),
        sampler_logps=row.get("token_logps"),
        finish_reason=row["finish_reason"],
        policy_version=row["policy_version"],
        scores=scores,
        metrics=dict(zip(columns, scores, strict=True)),
        reward=NAN if row["reward"] is None else float(row["reward"]),
        sampled_mask=row.get("token_sampled"),
    )
