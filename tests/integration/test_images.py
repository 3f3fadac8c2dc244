"""Whole runs of `axolotl train` on tiny random vision models: images of several sizes, one, two or none in a row."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pandas
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from tests.seeing import PLACEHOLDERS, make_processor, save_seeing_model
from tests.training import VLLM_PYTHON, Training, function, write_recipe

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

HUGGING_FACE = {"use_vllm": False, "num_generations": 2, "max_completion_length": 8, "temperature": 1.0}
ROWS = [
    ("<image>What is it?", ["wide.png"]),
    ("Nothing to see.", []),
    ("First <image>, then <image>?", ["tall.png", "small.png"]),
    ("<image>And this?", ["small.png"]),
]
# Ends the run at a completion with a token that stands for an image.
WITHOUT_PLACEHOLDERS = """

def without_placeholders(completion_ids, **columns):
    assert not any(set(ids) & set({forbidden}) for ids in completion_ids)
    return [0.0] * len(completion_ids)
"""


def seeing_recipe(folder: Path, kind: str, **changes: Any) -> Path:
    """Two steps of eight completions, over rows with one image, two, or none."""
    for name, size in {"wide.png": (120, 50), "tall.png": (40, 90), "small.png": (20, 20)}.items():
        Image.effect_noise(size, 90).convert("RGB").save(folder / name)
    for split in ("train", "held-out"):
        lines = [json.dumps({"prompt": text, "pics": names, "answer": "a bee"}) for text, names in ROWS]
        (folder / f"seen-{split}.jsonl").write_text("\n".join(lines))
    options = {
        "base_model": str(folder / "seeing"),
        "tokenizer_type": None,
        "trust_remote_code": True,
        "prompts": {"train": "seen-train.jsonl", "validation": "seen-held-out.jsonl", "answer_key": "answer"}
        | {"image_key": "pics"},
        "rewards": {"functions": [function("answer_length"), function("without_placeholders")]},
        "validation": {"before_train": False, "samples": 2},
        "trl": HUGGING_FACE,
        "micro_batch_size": 4,
        "gradient_accumulation_steps": 2,
        "max_steps": 2,
        "learning_rate": 0.01,
    }
    save_seeing_model(folder / "seeing", kind)
    path = write_recipe(folder, **(options | changes))
    forbidden = make_processor().tokenizer.convert_tokens_to_ids(PLACEHOLDERS)
    with (folder / "my_rewards.py").open("a") as rewards:
        rewards.write(WITHOUT_PLACEHOLDERS.format(forbidden=forbidden))
    return path


def trained(recipe: Path, *words: str, **options: Any) -> str:
    training = Training(recipe, *words, **options)
    try:
        assert training.wait() == 0, training.screen + (recipe.parent / "out" / "debug.log").read_text()[-3000:]
        return training.screen
    finally:
        training.destroy()


def moved(folder: Path) -> tuple[bool, bool]:
    """Whether the vision tower and the language model have other weights than at the start."""
    before, after = (load_file(path / "model.safetensors") for path in (folder / "seeing", folder / "out"))
    assert before.keys() == after.keys()
    changed = {name for name, weights in before.items() if not torch.equal(weights, after[name])}
    return any("visual" in name for name in changed), any("visual" not in name for name in changed)


def check_log(folder: Path) -> None:
    """Every completion is in the log, with a prompt that was written for its images."""
    generations = pandas.read_parquet(folder / "out" / "generations")
    assert len(generations) == 2 * 8 and len(pandas.read_parquet(folder / "out" / "validation")) == 4 * (2 + 1)
    assert any("First , then ?" in prompt for prompt in generations["prompt"])


@pytest.mark.parametrize("kind", ["qwen2_vl", "qwen2_5_vl", "qwen3_vl"])
def test_tower_and_language_model_learn_against_a_reference(tmp_path, kind):
    trained(seeing_recipe(tmp_path, kind, algorithm={"name": "grpo", "kl_coef": 0.01}))
    assert moved(tmp_path) == (True, True)
    check_log(tmp_path)


def test_two_ranks_see_a_stream_of_images_and_of_text(tmp_path):
    """With one prompt to a pass, a rank may have images while the other has none."""
    prompts = {"train": "seen-train.jsonl", "answer_key": "answer", "image_key": "pics", "streaming": True}
    options = {"prompts": prompts, "micro_batch_size": 1, "gradient_accumulation_steps": 4, "validation": None}
    recipe = seeing_recipe(tmp_path, "qwen2_5_vl", **options)
    trained(recipe, launcher_words=("--num-processes=2",))
    assert moved(tmp_path) == (True, True)
    generations = pandas.read_parquet(tmp_path / "out" / "generations")
    assert generations.groupby("step").size().to_dict() == {1: 8, 2: 8}


def test_a_frozen_tower_stays_as_it_is_and_greedy_baselines_see_images(tmp_path):
    trained(seeing_recipe(tmp_path, "qwen3_vl", freeze_mm_modules=True, algorithm={"name": "remax"}))
    assert moved(tmp_path) == (False, True)


def test_an_adapter_leaves_the_tower_out(tmp_path):
    adapter = {"adapter": "lora", "lora_r": 4, "lora_alpha": 8}
    targets = r"model\.language_model\..*\.(q_proj|v_proj|up_proj)"
    algorithm = {"name": "grpo", "kl_coef": 0.01}
    trained(seeing_recipe(tmp_path, "qwen2_5_vl", **adapter, lora_target_modules=targets, algorithm=algorithm))
    weights = load_file(tmp_path / "out" / "adapter_model.safetensors")
    assert not any("visual" in name for name in weights)
    assert any("lora_B" in name and weight.any() for name, weight in weights.items())


def test_text_alone_trains_a_model_that_could_see(tmp_path):
    prompts = {"train": "train.jsonl", "validation": "held-out.jsonl", "answer_key": "answer"}
    trained(seeing_recipe(tmp_path, "qwen2_5_vl", prompts=prompts))
    assert moved(tmp_path) == (False, True)


def test_vllm_sees_the_same_images(tmp_path):
    code = "import torchvision"
    if not VLLM_PYTHON.exists() or subprocess.run([VLLM_PYTHON, "-c", code], capture_output=True).returncode:
        pytest.skip("vLLM's Qwen-VL models need torchvision in .venv-vllm, in a build for its torch")
    limits = ["--limit-mm-per-prompt", '{"image": 2, "video": 0}', "--skip-mm-profiling"]
    screen = trained(
        seeing_recipe(
            tmp_path,
            "qwen2_5_vl",
            trl={**HUGGING_FACE, "use_vllm": True},
            vllm={"max_model_len": 400},
            # Of 281 tokens vLLM draws none of 4, which the trainer gives their share: log(1 - 4 / 281) = -0.014.
            rollout={"python": str(VLLM_PYTHON), "max_logp_gap": 0.04, "restarts": 0, "args": limits},
        )
    )
    assert "log in" in screen and "held-out   after step 2" in screen
    assert moved(tmp_path) == (True, True)


def test_an_image_that_cannot_be_read_stops_before_launch(tmp_path):
    recipe = seeing_recipe(tmp_path, "qwen2_5_vl")
    (tmp_path / "tall.png").write_bytes(b"no image")
    training = Training(recipe)
    try:
        assert training.wait() != 0
        assert "an image that cannot be read in row 3" in training.screen and "Traceback" not in training.screen
    finally:
        training.destroy()
