"""The model card says what was trained, and nothing else."""

from typing import Any

import yaml

from grpo_plugin.console.model_card import ModelCard
from grpo_plugin.recipe import parse
from grpo_plugin.validation.evaluation import Accuracy, Evaluation

VALUES = {
    "base_model": "Qwen/Qwen3-0.6B",
    "plugins": [f"grpo_plugin.{name}Plugin" for name in ("Prompt", "Reward", "Algorithm")],
    "prompts": {"train": ["hiyouga/math12k@train", "/home/me/secret/more.jsonl"]},
    "rewards": {
        "functions": [
            {"function": "rewards.math.accuracy", "weight": 0.9},
            {"function": "/home/me/my_rewards.py:short", "weight": 0.1},
        ]
    },
    "algorithm": {"name": "dapo", "clip_high": 0.3},
    "trl": {"num_generations": 16, "max_completion_length": 2048},
    "learning_rate": 1e-6,
}


def evaluation(step: int, sampled: float, greedy: float) -> Evaluation:
    return Evaluation(step, "accuracy", Accuracy(500, sampled, greedy), {}, {"accuracy": sampled})


EVALUATIONS = [evaluation(0, 0.25, 0.5), evaluation(40, 0.375, 0.625), evaluation(80, 0.75, 0.875)]


def card(changes: dict[str, Any] | None = None, **fields: Any) -> ModelCard:
    known = {"name": "mine", "step": 40, "evaluations": EVALUATIONS, "versions": {"trl": "1.9.0"}}
    return ModelCard(parse(VALUES | (changes or {})), **(known | fields))


def metadata(text: str) -> dict[str, Any]:
    return yaml.safe_load(text.split("---")[1])


def test_a_whole_model():
    text = card().text()
    assert metadata(text) == {
        "base_model": "Qwen/Qwen3-0.6B",
        "base_model_relation": "finetune",
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "datasets": ["hiyouga/math12k"],
        "tags": ["reinforcement-learning", "dapo", "axolotl", "grpo_plugin"],
    }
    for line in (
        "| base model | `Qwen/Qwen3-0.6B` |",
        "| algorithm | dapo (arXiv 2503.14476): advantage `grpo`, loss `ppo`, clip 0.2 to 0.3, averaged by token, no "
        "KL, dynamic sampling, overlong: soft |",
        "| training data | `hiyouga/math12k@train`, `more.jsonl` (local) |",
        "| optimizer steps | 40 |",
        "| completions per prompt | 16 |",
        "| learning rate | 1e-06 |",
        "| `rewards.math.accuracy` | 0.9 |",
        "| `my_rewards.py:short` | 0.1 |",
        "|  | before (step 0) | after (step 40) |",
        "| accuracy_sampled | 0.250 | 0.375 |",
        "| accuracy_greedy | 0.500 | 0.625 |",
        "On 500 held-out prompts that were not trained on, `accuracy` being `accuracy`.",
    ):
        assert line in text.splitlines(), line
    assert 'AutoModelForCausalLM.from_pretrained("mine")' in text and "vllm serve mine" in text
    assert "/home/me" not in text, "paths of the machine stay out"


def test_an_adapter_and_its_merged_model():
    lora = {"adapter": "lora", "lora_r": 8, "lora_alpha": 8, "lora_target_linear": True}
    adapter, merged = card(lora).text(), card(lora, merged=True).text()
    assert metadata(adapter)["library_name"] == "peft" and metadata(adapter)["base_model_relation"] == "adapter"
    assert "AutoPeftModelForCausalLM" in adapter and "| adapter | lora, rank 8 |" in adapter
    assert metadata(merged)["base_model_relation"] == "finetune" and "| adapter | lora, rank 8, merged |" in merged
    assert "Peft" not in merged


def test_a_local_base_model_has_no_name_on_the_hub():
    text = card({"base_model": "/home/me/models/tiny"}).text()
    assert "base_model" not in metadata(text)
    assert "| base model | `tiny` (local) |" in text and "/home/me" not in text


def test_without_held_out_prompts_or_with_one_evaluation():
    assert "no held-out prompts" in card(evaluations=[]).text()
    text = card(evaluations=EVALUATIONS[:1]).text()
    assert "| accuracy_sampled | 0.250 |" in text and "before" not in text


def test_the_longest_completion_is_by_default_that_of_trl():
    assert "| longest completion | 256 tokens |" in card({"trl": {}}).text()
