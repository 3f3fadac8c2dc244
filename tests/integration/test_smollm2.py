"""recipes/smollm2_cpu.yaml with the real model: vLLM has the trainer's weights at every step, full and LoRA."""

import json
from collections.abc import Iterator
from pathlib import Path

import pandas
import pytest
import yaml

from tests.smollm2 import make_smollm2
from tests.training import ROOT, VLLM_PYTHON, Training

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(500),
    pytest.mark.skipif(not VLLM_PYTHON.exists(), reason="no .venv-vllm: run `make vllm`"),
]

LIMIT = 1e-4  # nats per token
ROWS = [
    {"Body": f"Ann has {i} apples and buys {i + 2} more.", "Question": "How many?", "Answer": 2 * i + 2}
    for i in range(8)
]
REWARD = """
def letters(completions, **columns):
    return [sum(map(str.isalpha, completion[0]["content"])) / 100 for completion in completions]
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_smollm2(tmp_path_factory.mktemp("smollm2"))


@pytest.fixture
def started() -> Iterator[list[Training]]:
    runs: list[Training] = []
    yield runs
    for run in runs:
        run.destroy()


@pytest.mark.parametrize("name", ["smollm2_cpu", "smollm2_cpu_lora"])
def test_vllm_has_the_weights_of_each_step(name: str, model: Path, tmp_path: Path, started: list[Training]) -> None:
    """Short: three steps of 4 completions; a learning rate at which an old head shows, and a reward that differs."""
    for folder in ("recipes", "rewards", ".venv-vllm"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    (tmp_path / "my_rewards.py").write_text(REWARD)
    recipe = {
        "base": f"recipes/{name}.yaml",
        "base_model": str(model),
        "plugins": yaml.safe_load((ROOT / "recipes" / f"{name}.yaml").read_text())["plugins"],
        "prompts": {"train": "rows.jsonl", "validation": None},
        "rewards": {"functions": [{"function": "my_rewards.py:letters"}]},
        "validation": None,
        "trl": {"num_generations": 4, "max_completion_length": 16},
        "micro_batch_size": 4,
        "gradient_accumulation_steps": 1,
        "learning_rate": 2e-4,
        "max_steps": 3,
        "save_steps": None,
        "save_strategy": "no",
        "output_dir": str(tmp_path / "out"),
    }
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe))
    started.append(Training(path))
    assert started[-1].wait(400) == 0, started[-1].screen
    metrics = pandas.read_json(tmp_path / "out" / "metrics.jsonl", lines=True)
    assert metrics["step"].tolist() == [1, 2, 3]
    assert (metrics["rollout/logp_gap"] < LIMIT).all(), metrics["rollout/logp_gap"].tolist()
    assert (metrics["grad_norm"] > 0).all()
