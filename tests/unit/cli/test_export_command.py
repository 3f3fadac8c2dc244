"""An export is there only once it is whole and proved."""

from pathlib import Path

import pytest

from grpo_plugin.cli.export import exported
from grpo_plugin.errors import RecipeError, TrainingError
from grpo_plugin.trainer import export
from tests.tiny import make_model


@pytest.mark.parametrize("error", [TrainingError, KeyboardInterrupt])
def test_an_export_that_is_not_proved_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    def fail(*args: object) -> float:
        raise error

    model = make_model(tmp_path / "model")
    with monkeypatch.context() as patch, pytest.raises(error):
        patch.setattr(export, "check", fail)
        exported(model, tmp_path / "out")
    assert list(tmp_path.iterdir()) == [model]
    assert exported(model, tmp_path / "out").startswith(f"{tmp_path / 'out'}: copied from {model}, ")
    assert (tmp_path / "out" / "model.safetensors").is_file()
    with pytest.raises(RecipeError, match="has files in it"):
        exported(model, tmp_path / "out")
