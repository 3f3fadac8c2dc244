"""What is served of a folder: itself, or its export, made again when its weights are newer."""

import os
from pathlib import Path

import pytest

from grpo_plugin.cli import serving
from tests.tiny import make_model


@pytest.fixture
def exports(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders that were exported, each as a whole model."""
    made: list[Path] = []

    def exported(folder: Path, out: Path, *, recorded: bool) -> str:
        assert not recorded, "nobody waits for that before each server"
        make_model(out)
        made.append(folder)
        return "exported"

    monkeypatch.setattr(serving, "exported", exported)
    return made


def test_a_whole_model_is_served_as_it_is(tmp_path: Path, exports: list[Path]) -> None:
    folder = make_model(tmp_path / "model")
    assert serving.whole(folder) == folder and not exports


def test_an_adapter_is_exported_once_and_again_when_it_is_newer(tmp_path: Path, exports: list[Path]) -> None:
    folder = tmp_path / "out" / "checkpoint-4"
    folder.mkdir(parents=True)
    adapter = folder / "adapter_model.safetensors"
    adapter.touch()
    os.utime(adapter, (1000, 1000))
    out = tmp_path / "out" / "exported" / "checkpoint-4"
    assert serving.whole(folder) == out and serving.whole(folder) == out
    assert exports == [folder]
    (out / "left.txt").touch()
    adapter.touch()
    os.utime(out / "model.safetensors", (2000, 2000))
    assert serving.whole(folder) == out and exports == [folder, folder]
    assert not (out / "left.txt").exists()


def test_the_model_of_a_finished_run_is_exported_beside_it(tmp_path: Path, exports: list[Path]) -> None:
    (tmp_path / "adapter_model.safetensors").touch()
    assert serving.whole(tmp_path) == tmp_path / "exported" / tmp_path.name
