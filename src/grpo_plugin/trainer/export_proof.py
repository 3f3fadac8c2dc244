"""An exported model against the run itself: the log-probabilities that were recorded when its weights sampled.

The batch that begins with the step after a checkpoint is sampled by the checkpoint's weights. Where the run recorded
its tokens (`rollout.record_tokens`), the exported model must give them the same log-probabilities.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from grpo_plugin.config.rollout import RolloutConfig
from grpo_plugin.console.run_facts import read
from grpo_plugin.errors import TrainingError
from grpo_plugin.recipe import Recipe
from grpo_plugin.rollout.logp_gap import FLOAT32_LIMIT, LIMIT, Gap, logp_gap
from grpo_plugin.rollout.server.command import dtype
from grpo_plugin.trainer.rollout import padded

MOST = 32  # completions that are compared


@dataclass(frozen=True)
class RecordedCompletion:
    """Token ids of a prompt and of its completion, and the log-probability of each token of the completion."""

    prompt_ids: list[int]
    token_ids: list[int]
    logps: list[float]


def recorded_after(run: Path, step: int, *, ahead: bool) -> list[RecordedCompletion]:
    """Completions that the weights after `step` optimizer steps sampled; empty where their tokens were not recorded.

    Args:
        ahead: batches were sampled before the last update (`rollout.lookahead`): then only what the trainer computed
            with the weights themselves counts.
    """
    import pyarrow.parquet as parquet

    files = sorted((run / "generations").glob(f"train-{step + 1:07d}-*.parquet"))
    rows = [row for file in files for row in parquet.read_table(file).to_pylist()]
    whole = [each for row in rows if (each := _recorded(row, ahead)) is not None]
    return whole[:: max(1, len(whole) // MOST)][:MOST]


def limit_of(recipe: Recipe, run: Path) -> float:
    """The largest mean gap (nats per token): `rollout.max_logp_gap`, else by what trainer and sampler computed in.

    vLLM's own choice is known for CPUs alone; of a server at `rollout.url` nothing is known.
    """
    rollout = recipe.rollout or RolloutConfig()
    on_cpu = (read(run).get("machine") or {}).get("gpus of this process") == []
    half = any(recipe.values.get(key) for key in ("bf16", "fp16", "bfloat16", "float16"))
    float32 = on_cpu and not half and rollout.url is None and dtype(recipe.values, gpus=False) == "float32"
    return rollout.max_logp_gap or (FLOAT32_LIMIT if float32 else LIMIT)


def check_recorded(model: nn.Module, recorded: list[RecordedCompletion], temperature: float, limit: float) -> Gap:
    """The gap between a model's log-probabilities and the recorded ones.

    Raises:
        TrainingError: its mean is over `limit` nats per token.
    """
    longest = max(len(each.token_ids) for each in recorded)
    ours = padded([_logps(model, each, temperature) for each in recorded], longest)
    mask = padded([[1.0] * len(each.token_ids) for each in recorded], longest)
    gap = logp_gap(ours, padded([each.logps for each in recorded], longest), mask)
    if gap.mean > limit:
        raise TrainingError(
            f"the exported model differs by {gap.mean:.2g} nats per token from what the run recorded of "
            f"{len(recorded)} completions, over {limit:g} (rollout.max_logp_gap); other weights sampled them."
        )
    return gap


def _recorded(row: Mapping[str, Any], ahead: bool) -> RecordedCompletion | None:
    logps = row.get("token_old_logps") or (None if ahead else row.get("token_logps"))
    if not logps or not row.get("token_ids") or not row.get("prompt_ids") or row.get("token_sampled"):
        return None
    return RecordedCompletion(row["prompt_ids"], row["token_ids"], logps)


def _logps(model: nn.Module, each: RecordedCompletion, temperature: float) -> Tensor:
    ids = torch.tensor(each.prompt_ids + each.token_ids)
    with torch.no_grad():
        logits = model(input_ids=ids[None]).logits[0, len(each.prompt_ids) - 1 : -1].float() / temperature
    found: Tensor = logits.log_softmax(-1).gather(-1, ids[len(each.prompt_ids) :, None]).squeeze(-1)
    return found
