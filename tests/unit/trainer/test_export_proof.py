"""An export against what a run recorded; a whole run's is in tests/integration/test_training.py."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import torch
from transformers import AutoModelForCausalLM

from grpo_plugin.errors import TrainingError
from grpo_plugin.recipe import parse
from grpo_plugin.trainer.export_proof import check_recorded, limit_of, recorded_after
from tests.tiny import make_model

PROMPT, COMPLETION = [5, 6, 7], [8, 9]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory):
    return AutoModelForCausalLM.from_pretrained(make_model(tmp_path_factory.mktemp("model")))


def logps(model, temperature: float) -> list[float]:
    """By hand: of the two completion tokens."""
    logits = model(input_ids=torch.tensor([PROMPT + COMPLETION])).logits[0].detach() / temperature
    return [logits[2 + place].log_softmax(-1)[token].item() for place, token in enumerate(COMPLETION)]


def record(run: Path, step: int, **columns: object) -> None:
    (run / "generations").mkdir(exist_ok=True)
    row = {"policy_version": 3, "prompt_ids": PROMPT, "token_ids": COMPLETION, "token_logps": [-1.0, -2.0]} | columns
    parquet.write_table(pa.Table.from_pylist([row]), run / "generations" / f"train-{step:07d}-000.parquet")


def test_the_batch_after_the_checkpoint_must_have_its_log_probabilities(model, tmp_path):
    record(tmp_path, 3, token_logps=logps(model, 0.7))
    recorded = recorded_after(tmp_path, 2, ahead=False)
    assert check_recorded(model, recorded, 0.7, 1e-3).max < 1e-5
    with pytest.raises(TrainingError, match="of 1 completions, over "):
        check_recorded(model, recorded, 1.0, 1e-3)
    assert recorded_after(tmp_path, 3, ahead=False) == [], "no batch begins with step 4"


def test_a_batch_that_older_weights_sampled_counts_by_what_the_trainer_computed(tmp_path):
    record(tmp_path, 3)
    assert recorded_after(tmp_path, 2, ahead=True) == []
    record(tmp_path, 3, token_old_logps=[-0.5, -0.25])
    [found] = recorded_after(tmp_path, 2, ahead=True)
    assert found.logps == [-0.5, -0.25]
    record(tmp_path, 3, token_ids=None)
    assert recorded_after(tmp_path, 2, ahead=False) == [], "tokens were not recorded"


PLUGINS = [f"grpo_plugin.{name}Plugin" for name in ("Prompt", "Reward", "Rollout")]
RECIPE = {
    "base_model": "user/model",
    "plugins": PLUGINS,
    "prompts": {"train": "data.jsonl"},
    "rewards": {"functions": [{"function": "rewards.math.accuracy"}]},
    "bf16": False,
    "trl": {"num_generations": 4},
}


@pytest.mark.parametrize(
    ("changes", "gpus", "expected"),
    [
        ({}, [], 1e-3),
        ({}, ["H100"], 0.1),
        ({}, None, 0.1),
        ({"bf16": True}, [], 0.1),
        ({"vllm": {"dtype": "bfloat16"}}, [], 0.1),
        ({"rollout": {"url": "http://localhost:80"}}, [], 0.1),
        ({"rollout": {"max_logp_gap": 0.5}}, [], 0.5),
    ],
)
def test_float32_on_both_sides_differs_by_rounding_alone(tmp_path, changes, gpus, expected):
    if gpus is not None:
        (tmp_path / "run.json").write_text(json.dumps({"machine": {"gpus of this process": gpus}}))
    assert limit_of(parse(RECIPE | changes), tmp_path) == expected
