import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from grpo_plugin.recipe import Recipe, check

BLOCKS = ("Prompt", "Reward", "Algorithm", "Rollout", "Validation")

CONFIG = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 128,
    "vocab_size": 100,
    "max_position_embeddings": 512,
}


@pytest.fixture
def recipe(tmp_path: Path) -> Callable[..., Recipe]:
    """A checked recipe of a small model; a change replaces a whole key or block, None removes it."""

    def make(**changes: Any) -> Recipe:
        folder = tmp_path / "model"
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text(json.dumps(CONFIG))
        rows = tmp_path / "train.jsonl"
        rows.write_text('{"prompt": "1+1=", "answer": "2"}\n' * 100)
        values = {
            "base_model": str(folder),
            "plugins": [f"grpo_plugin.{block}Plugin" for block in BLOCKS],
            "prompts": {"train": str(rows), "answer_key": "answer", "max_length": 100},
            "rewards": {"functions": [{"function": "rewards.math.accuracy"}]},
            "algorithm": {"name": "grpo", "kl_coef": 0.0},
            "rollout": {},
            "vllm": {"tensor_parallel_size": 1},
            "trl": {"num_generations": 4, "max_completion_length": 28},
            "micro_batch_size": 8,
            "gradient_accumulation_steps": 2,
            "bf16": True,
            "optimizer": "optimi_adamw",
            "learning_rate": 1e-6,
            "gradient_checkpointing": True,
            "output_dir": str(tmp_path / "out"),
        } | changes
        return check({key: value for key, value in values.items() if value is not None})

    return make
