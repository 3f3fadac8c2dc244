"""In which form a checkpoint holds its model, and whether Transformers and vLLM could load the folder as it is.

Reads names and sizes of files alone, no tensor.
"""

import json
from pathlib import Path
from typing import Literal

from grpo_plugin.recipe.checkpoints import defect

Layout = Literal["model", "adapter", "fsdp", "deepspeed", "none"]

FSDP_FOLDER = "pytorch_model_fsdp_0"
ADAPTER = "adapter_model.safetensors"
INDEX = "model.safetensors.index.json"
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "spiece.model")


def layout_of(checkpoint: Path) -> Layout:
    """`model`: one Hugging Face folder; `adapter`: of PEFT; `fsdp`, `deepspeed`: one part from each process."""
    if (checkpoint / ADAPTER).is_file():
        return "adapter"
    if (checkpoint / "model.safetensors").is_file() or (checkpoint / INDEX).is_file():
        return "model"
    if (checkpoint / FSDP_FOLDER).is_dir():
        return "fsdp"
    if any(checkpoint.glob("global_step*/*_states.pt")):
        return "deepspeed"
    return "none"


def not_ready(checkpoint: Path) -> str | None:
    """Why a checkpoint cannot be loaded as it is for inference; None where it can."""
    if (checkpoint / "trainer_state.json").is_file() and (broken := defect(checkpoint)):
        return broken
    layout = layout_of(checkpoint)
    if layout == "none":
        return "it has no weights"
    if layout == "adapter":
        return "it is a LoRA adapter without its base model"
    if layout != "model":
        return f"its weights are in the shards of {'FSDP' if layout == 'fsdp' else 'DeepSpeed'}"
    if missing := _missing_shards(checkpoint):
        return f"its {missing[0]} is missing"
    if not (checkpoint / "config.json").is_file():
        return "it has no config.json"
    if not any((checkpoint / name).is_file() for name in TOKENIZERS):
        return "it has no tokenizer"
    return None


def size_of(folder: Path) -> int:
    """Bytes of all files in it."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _missing_shards(checkpoint: Path) -> list[str]:
    if (checkpoint / "model.safetensors").is_file():
        return []
    names: dict[str, str] = json.loads((checkpoint / INDEX).read_text(encoding="utf-8"))["weight_map"]
    return [name for name in sorted(set(names.values())) if not (checkpoint / name).is_file()]
