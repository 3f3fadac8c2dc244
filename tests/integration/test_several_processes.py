"""Whole runs of `axolotl train --num-processes=2` on CPUs: whole copies of the model, and one divided by FSDP 2."""

import shutil
from pathlib import Path
from typing import Any

import pandas
import pytest
import torch
from safetensors.torch import load_file

from grpo_plugin.cli.export import exported
from tests.training import HUGGING_FACE, VLLM_PYTHON, Training, finish, steps_on, write_recipe

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

LORA = {"adapter": "lora", "lora_r": 8, "lora_alpha": 16, "lora_target_linear": True}
DIVIDED = {
    "fsdp_version": 2,
    "fsdp_config": {
        "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
        "transformer_layer_cls_to_wrap": "Qwen2DecoderLayer",
        "reshard_after_forward": True,
        "cpu_ram_efficient_loading": True,
        "state_dict_type": "SHARDED_STATE_DICT",
    },
}


def by_two(recipe: Path, *words: str) -> list[list[str]]:
    return steps_on(finish(Training(recipe, *words, launcher_words=("--num-processes=2",))))


@pytest.mark.skipif(not VLLM_PYTHON.exists(), reason="no .venv-vllm: run `make vllm`")
@pytest.mark.parametrize("changes", [LORA, DIVIDED], ids=["adapter", "divided"])
def test_two_ranks_share_one_server(tmp_path, changes):
    rows = by_two(write_recipe(tmp_path, micro_batch_size=8, learning_rate=0.01, **changes))
    assert len(rows) == 4
    assert all(float(row[7]) < 1e-4 for row in rows), "whole weights reached the server at every step"
    trained = pandas.read_parquet(tmp_path / "out" / "generations")
    assert (trained.groupby("step").size() == 16).all()
    saved = "adapter_model.safetensors" if "adapter" in changes else "model.safetensors"
    assert (tmp_path / "out" / saved).exists()


def test_a_divided_model_learns_what_whole_copies_learn_and_goes_on_from_its_shards(tmp_path):
    options = {
        "trl": HUGGING_FACE,
        "micro_batch_size": 8,
        "algorithm": {"name": "grpo", "kl_coef": 0.01},
        "save_strategy": "steps",
        "save_steps": 2,
    }
    folders = whole, divided = tmp_path / "whole", tmp_path / "divided"
    for folder in folders:
        folder.mkdir()
    by_two(write_recipe(whole, **options))
    recipe = write_recipe(divided, **options, **DIVIDED)
    by_two(recipe)
    assert differences(whole / "out", divided / "out") < 1e-5

    shards = divided / "out" / "checkpoint-4" / "pytorch_model_fsdp_0"
    assert len(list(shards.glob("*.distcp"))) == 2
    assert "log-probabilities as the checkpoint's" in exported(shards.parent, tmp_path / "exported")
    assert differences(whole / "out", tmp_path / "exported") < 1e-5

    shutil.rmtree(shards.parent)
    rows = by_two(recipe, "--auto-resume-from-checkpoints")
    assert [row[0] for row in rows] == ["3", "4"]
    assert differences(whole / "out", divided / "out") < 1e-5


def differences(one: Path, other: Path) -> float:
    """The largest difference of two saved models' weights."""
    first, second = (load_file(folder / "model.safetensors") for folder in (one, other))
    assert first.keys() == second.keys()
    moved: dict[str, Any] = {name: (first[name] - second[name]).abs().max() for name in first}
    return torch.stack(list(moved.values())).max().item()
