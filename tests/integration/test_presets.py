"""Every preset of `algorithm.name` trains the quickstart's model through the real command."""

import json
import math
import shutil
from pathlib import Path

import pandas
import pytest
import yaml
from safetensors.torch import load_file

from grpo_plugin.algorithms.presets import PRESETS
from tests.training import ROOT, VLLM_PYTHON, Training, finish

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
STEPS = 10


@pytest.fixture(scope="session")
def base(tmp_path_factory) -> Path:
    """The quickstart's model and data, taught once for all presets."""
    folder = tmp_path_factory.mktemp("quickstart")
    recipe = yaml.safe_load((ROOT / "recipes" / "quickstart.yaml").read_text())
    (folder / "recipe.yaml").write_text(yaml.safe_dump(changed(recipe, {"name": "grpo"}, use_vllm=False, steps=1)))
    finish(Training(folder / "recipe.yaml"))
    return folder / "outputs" / "quickstart" / "base"


def changed(recipe: dict, algorithm: dict, use_vllm: bool, steps: int = STEPS) -> dict:
    """The quickstart's recipe with another algorithm, small batches, and no validation."""
    # A group teaches grpo_passk only where exactly one of eight is right: one in thirty at an accuracy of a half.
    size = 256 if algorithm["name"] == "grpo_passk" else 32
    recipe = recipe | {"algorithm": algorithm, "max_steps": steps, "micro_batch_size": size // 2}
    recipe["plugins"] = [plugin for plugin in recipe["plugins"] if "Validation" not in plugin]
    recipe["trl"] = recipe["trl"] | {"use_vllm": use_vllm, "generation_batch_size": size}
    recipe["rollout"] = recipe["rollout"] | {"python": str(VLLM_PYTHON)}
    recipe["gradient_accumulation_steps"] = 2
    recipe.pop("validation", None)
    recipe["prompts"] = {key: value for key, value in recipe["prompts"].items() if key != "validation"}
    return recipe


def train(folder: Path, base: Path, algorithm: dict, use_vllm: bool) -> list[dict]:
    """The logs of every step of a run."""
    shutil.copytree(base, folder / "outputs" / "quickstart" / "base")
    recipe = yaml.safe_load((ROOT / "recipes" / "quickstart.yaml").read_text())
    recipe = changed(recipe, algorithm, use_vllm) | {"save_strategy": "steps", "save_steps": STEPS}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    finish(Training(folder / "recipe.yaml"))
    out = folder / "outputs" / "quickstart"
    before, after = load_file(base / "model.safetensors"), load_file(out / "model.safetensors")
    assert all(tensor.isfinite().all() for tensor in after.values())
    assert any((before[name] != after[name]).any() for name in before), "something was learned"
    logs = json.loads((out / f"checkpoint-{STEPS}" / "trainer_state.json").read_text())["log_history"]
    return [entry for entry in logs if "reward" in entry]


def check(name: str, logs: list[dict]) -> None:
    preset = PRESETS[name]
    assert [entry["step"] for entry in logs] == list(range(1, STEPS + 1))
    assert all(math.isfinite(entry["loss"]) and math.isfinite(entry["grad_norm"]) for entry in logs)
    assert sum(entry["grad_norm"] > 0 for entry in logs) >= (1 if name == "grpo_passk" else STEPS)
    assert all(("kl" in entry) == (preset.kl_coef > 0) for entry in logs), "a reference model only where it is used"
    assert all(("dynamic_sampling/accept_rate" in entry) == preset.dynamic_sampling for entry in logs)
    if preset.kl_coef > 0:
        assert abs(logs[0]["kl"]) < 1e-6, "the policy begins as its reference"
        assert abs(logs[-1]["kl"]) > 1e-6


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_trains(name, base, tmp_path):
    check(name, train(tmp_path, base, {"name": name}, use_vllm=False))


@pytest.mark.skipif(not VLLM_PYTHON.exists(), reason="no .venv-vllm: run `make vllm`")
@pytest.mark.parametrize("name", ["dapo", "reinforce_plus_plus", "remax"])
def test_a_preset_trains_with_vllm(name, base, tmp_path):
    logs = train(tmp_path, base, {"name": name}, use_vllm=True)
    check(name, logs)
    assert all(entry["rollout/logp_gap"] < 1e-4 for entry in logs)
    generations = pandas.read_parquet(tmp_path / "outputs" / "quickstart" / "generations")
    trained = generations[generations["advantage"].notna()]
    assert len(trained) <= STEPS * 32
    if name == "dapo":
        groups = trained.groupby(["step", "prompt"])["accuracy"]
        assert (groups.max() > groups.min()).mean() > 0.95, "groups without a signal were not trained on"
