"""MLflow, Comet and SwanLab record a run; skipped where they are not installed, as they are large."""

import pytest
import yaml

from tests.trackers import comet_offline, mlflow, swanlab_offline
from tests.training import HUGGING_FACE, Training, write_recipe

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def test_mlflow_comet_and_swanlab_have_every_figure_under_one_name_at_its_step(tmp_path, monkeypatch):
    for package in ("mlflow", "comet_ml", "swanlab"):
        pytest.importorskip(package)
    monkeypatch.setenv("COMET_DISABLE_AUTO_LOGGING", "1")  # of what MLflow is given
    monkeypatch.setenv("COMET_OFFLINE_DIRECTORY", str(tmp_path / ".cometml-runs"))
    trackers = {
        "use_mlflow": True,
        "mlflow_tracking_uri": f"sqlite:///{tmp_path}/mlflow.db",
        "use_comet": True,
        "comet_online": False,
        "comet_project_name": "of-tests",
        "use_swanlab": True,
        "swanlab_project": "of-tests",
        "swanlab_mode": "offline",
    }
    validation = {"every": 2, "samples": 2, "pass_at": [2]}
    recipe = write_recipe(tmp_path, trl=HUGGING_FACE, validation=validation, **trackers)
    values = yaml.safe_load(recipe.read_text())
    values["plugins"].append("axolotl.integrations.swanlab.SwanLabPlugin")
    recipe.write_text(yaml.safe_dump(values))
    training = Training(recipe)
    try:
        assert training.wait() == 0, training.screen
    finally:
        training.destroy()

    kept = mlflow(tmp_path / "mlflow.db"), comet_offline(tmp_path), swanlab_offline(tmp_path)
    for series, passed in zip(kept, ("eval/pass_2", "eval/pass@2", "eval/pass@2"), strict=True):
        steps = {name: sorted(values) for name, values in series.items()}
        for name in ("reward", "rewards/digits/mean", "loss", "time/train"):
            assert steps[f"train/{name}"] == [1, 2, 3, 4], name
        for name in (passed, "eval/accuracy_greedy", "eval/completions/mean_length", "train/time/validation"):
            assert steps[name] == [0, 2, 4], name
        assert series["train/reward"] == pytest.approx(kept[0]["train/reward"])
    _, comet, swanlab = kept
    assert [step for step in (0, 2, 4) if f"eval/answers-{step}.csv" in comet] == sorted(swanlab["eval/answers"])
    assert 4 in comet["curve"] and 4 in swanlab["curve"]
    artifacts = [path.name for path in tmp_path.glob("mlruns/*/*/artifacts/**/*.*")]
    assert {"curve.png", "answers-0.json", "answers-2.json", "answers-4.json"} <= set(artifacts)
