import json
import shutil

import pytest
import torch
from safetensors.torch import save_file

from grpo_plugin.errors import RecipeError
from grpo_plugin.recipe.checkpoints import (
    UNFINISHED,
    checkpoints,
    defect,
    how_to_resume,
    newest_whole,
    resume,
    saves_checkpoints,
)

AUTO = {"auto_resume_from_checkpoints": True}


def save(output_dir, step):
    """A checkpoint as transformers writes one, trainer_state.json last."""
    folder = output_dir / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    save_file({"weight": torch.ones(100)}, folder / "model.safetensors")
    torch.save({"step": torch.ones(300)}, folder / "optimizer.pt")
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": step}))
    return folder


def cut(path, bytes_less=1):
    path.write_bytes(path.read_bytes()[:-bytes_less])


def test_checkpoints_come_in_the_order_of_their_steps(tmp_path):
    for step in (100, 20, 9):
        save(tmp_path, step)
    (tmp_path / "checkpoint-best").mkdir()
    assert [path.name for path in checkpoints(tmp_path)] == ["checkpoint-9", "checkpoint-20", "checkpoint-100"]
    assert newest_whole(tmp_path) == tmp_path / "checkpoint-100"
    assert newest_whole(tmp_path / "nowhere") is None


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda folder: None, None),
        (lambda folder: (folder / "trainer_state.json").unlink(), "it has no trainer_state.json"),
        (lambda folder: cut(folder / "trainer_state.json"), "its trainer_state.json cannot be read"),
        (lambda folder: cut(folder / "model.safetensors"), "its model.safetensors is cut short"),
        (lambda folder: cut(folder / "model.safetensors", 380), "its model.safetensors is cut short"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b""), "its model.safetensors is cut short"),
        (lambda folder: cut(folder / "optimizer.pt", 30), "its optimizer.pt is cut short"),
        (lambda folder: (folder / "README.md").write_bytes(b""), None),
    ],
)
def test_what_was_not_saved_to_its_end_is_seen(tmp_path, damage, expected):
    folder = save(tmp_path, 5)
    damage(folder)
    assert defect(folder) == expected


def test_an_incomplete_checkpoint_is_skipped_and_named(tmp_path):
    for step in (10, 20, 30):
        save(tmp_path, step)
    assert resume(AUTO, tmp_path) == (tmp_path / "checkpoint-30", None)
    (tmp_path / "checkpoint-30" / "trainer_state.json").unlink()
    chosen, sentence = resume(AUTO, tmp_path)
    assert chosen == tmp_path / "checkpoint-20"
    assert sentence == (
        f"checkpoint-30 is incomplete (it has no trainer_state.json); the run resumes from {tmp_path}/checkpoint-20."
    )
    for step in (10, 20):
        cut(tmp_path / f"checkpoint-{step}" / "optimizer.pt", 30)
    chosen, sentence = resume(AUTO, tmp_path)
    assert chosen is None
    assert sentence.startswith("checkpoint-10 is incomplete (its optimizer.pt is cut short); checkpoint-20")
    assert sentence.endswith("; the run starts at step 0.")


def test_a_checkpoint_whose_save_was_killed_is_named(tmp_path):
    save(tmp_path / UNFINISHED, 20)
    chosen, sentence = resume(AUTO, tmp_path)
    assert (chosen, sentence) == (None, "checkpoint-20 was not saved to its end; the run starts at step 0.")
    save(tmp_path, 10)
    chosen, sentence = resume(AUTO, tmp_path)
    assert chosen == newest_whole(tmp_path) == tmp_path / "checkpoint-10"
    assert sentence == f"checkpoint-20 was not saved to its end; the run resumes from {tmp_path}/checkpoint-10."


def test_a_run_that_does_not_resume_looks_at_no_checkpoint(tmp_path):
    (save(tmp_path, 10) / "trainer_state.json").unlink()
    assert resume({}, tmp_path) == (None, None)
    assert resume(AUTO, tmp_path / "new") == (None, None)


def test_a_named_checkpoint_must_be_whole(tmp_path):
    first, second = save(tmp_path, 10), save(tmp_path, 20)
    assert resume({"resume_from_checkpoint": str(first), **AUTO}, tmp_path) == (first, None)
    (second / "trainer_state.json").unlink()
    with pytest.raises(RecipeError, match=rf"'{second}' cannot be resumed from, it has no .*; name '{first}'\."):
        resume({"resume_from_checkpoint": str(second)}, tmp_path)
    shutil.rmtree(first)
    with pytest.raises(RecipeError, match="there is no such folder; drop the key to start at step 0"):
        resume({"resume_from_checkpoint": str(first)}, tmp_path)


@pytest.mark.parametrize(
    ("values", "saves"),
    [
        ({}, True),
        ({"save_strategy": "no"}, False),
        ({"save_strategy": False}, False),
        ({"save_strategy": "no", "save_steps": 5}, True),
        ({"save_strategy": "no", "saves_per_epoch": 2}, True),
        ({"save_strategy": "epoch"}, True),
    ],
)
def test_whether_axolotl_saves_checkpoints(values, saves):
    assert saves_checkpoints(values) is saves


def test_a_stopped_run_is_told_how_to_go_on(tmp_path):
    assert "no checkpoint was saved yet" in how_to_resume({"save_steps": 5}, tmp_path)
    assert how_to_resume({"save_strategy": "no"}, tmp_path) == (
        "no checkpoint is saved with save_strategy: no; set save_steps to save one every so many steps."
    )
    save(tmp_path, 9)
    (save(tmp_path, 100) / "trainer_state.json").unlink()
    assert how_to_resume({"save_steps": 5}, tmp_path) == (
        f"to go on from {tmp_path}/checkpoint-9, give the same command with --auto-resume-from-checkpoints."
    )
