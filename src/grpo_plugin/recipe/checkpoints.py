"""The checkpoints in a recipe's output_dir: whether it saves any, which are whole, and which one a run resumes from."""

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from grpo_plugin.errors import RecipeError

UNFINISHED = ".unfinished"
"""Folder of output_dir in which a checkpoint is written; it gets its place beside the others once it is whole."""


def saves_checkpoints(values: Mapping[str, Any]) -> bool:
    """Whether Axolotl saves any; it does at the end of each epoch unless told otherwise."""
    never = ("no", False)  # YAML reads `no` as false
    return bool(values.get("save_steps") or values.get("saves_per_epoch") or values.get("save_strategy") not in never)


def checkpoints(output_dir: Path) -> list[Path]:
    """The folders `checkpoint-STEP`, whole or not, in the order of their steps."""
    found = [path for path in output_dir.glob("checkpoint-*") if path.name.rpartition("-")[2].isdigit()]
    return sorted(found, key=lambda path: int(path.name.rpartition("-")[2]))


def newest_whole(output_dir: Path) -> Path | None:
    """The checkpoint of the latest step that was saved to its end."""
    return next((path for path in reversed(checkpoints(output_dir)) if defect(path) is None), None)


def defect(checkpoint: Path) -> str | None:
    """Why a checkpoint is incomplete; None for a complete one. Reads no tensor.

    transformers writes trainer_state.json last; a truncated file of weights or states is recognised by its size.
    """
    try:
        json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return "it has no trainer_state.json"
    except (OSError, ValueError):
        return "its trainer_state.json cannot be read"
    cut = [file for file in sorted(checkpoint.rglob("*")) if file.is_file() and _is_cut(file)]
    return f"its {cut[0].relative_to(checkpoint)} is cut short" if cut else None


def resume(values: Mapping[str, Any], output_dir: Path) -> tuple[Path | None, str | None]:
    """The checkpoint that a run goes on from, None for a run from the beginning; and a sentence if that needs one.

    Axolotl would take the latest step, whole or not.

    Raises:
        RecipeError: `resume_from_checkpoint` names a folder that is missing, or was not saved to its end.
    """
    if named := values.get("resume_from_checkpoint"):
        return _named(Path(str(named)), output_dir), None
    if not values.get("auto_resume_from_checkpoints"):
        return None, None
    chosen, found = newest_whole(output_dir), checkpoints(output_dir)
    skipped = found[found.index(chosen) + 1 :] if chosen else found
    reasons = [f"{path.name} is incomplete ({defect(path)})" for path in skipped]
    reasons += [f"{path.name} was not saved to its end" for path in checkpoints(output_dir / UNFINISHED)]
    broken = "; ".join(reasons)
    if not broken:
        return chosen, None
    return chosen, f"{broken}; the run {f'resumes from {chosen}' if chosen else 'starts at step 0'}."


def how_to_resume(values: Mapping[str, Any], output_dir: Path) -> str:
    """The end of a sentence about a run that was stopped."""
    if newest := newest_whole(output_dir):
        return f"to go on from {newest}, give the same command with --auto-resume-from-checkpoints."
    if not saves_checkpoints(values):
        return "no checkpoint is saved with save_strategy: no; set save_steps to save one every so many steps."
    return "no checkpoint was saved yet; save_steps says after how many steps one is."


def _named(checkpoint: Path, output_dir: Path) -> Path:
    if not checkpoint.is_dir():
        reason = "there is no such folder"
    elif (broken := defect(checkpoint)) is None:
        return checkpoint
    else:
        reason = broken
    newest = newest_whole(output_dir)
    remedy = f"name {str(newest)!r}" if newest else "drop the key to start at step 0"
    raise RecipeError(f"resume_from_checkpoint: {str(checkpoint)!r} cannot be resumed from, {reason}; {remedy}.")


def _is_cut(file: Path) -> bool:
    """Whether a file of tensors ends too early; False for files of any other kind."""
    if file.suffix == ".safetensors":
        return _is_cut_safetensors(file)
    # torch.save writes a zip, whose table of contents stands at the end.
    return file.suffix in (".pt", ".pth", ".bin") and not zipfile.is_zipfile(file)


def _is_cut_safetensors(file: Path) -> bool:
    """8 bytes of header length, the JSON header with each tensor's data_offsets, the data."""
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        size = file.stat().st_size
        if size < 8 + length or length == 0:
            return True
        try:
            header: dict[str, Any] = json.loads(opened.read(length))
        except ValueError:
            return True
    ends = [tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"]
    return size < 8 + length + max(ends, default=0)
