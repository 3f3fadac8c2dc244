"""EasyR1's configuration as a recipe, tried key by key."""

from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from grpo_plugin.cli.import_easyr1 import import_easyr1 as command
from grpo_plugin.cli.plan import plan
from grpo_plugin.convert.easyr1.conversion import Conversion, convert_config
from grpo_plugin.convert.easyr1.flat_values import nest
from grpo_plugin.convert.easyr1.header import command as train
from grpo_plugin.convert.easyr1.recipe_text import recipe_text
from tests.unit.convert.configurations import MATH, NEWEST, OLDEST, config


def recipe(*overrides: str, **changes: Any) -> dict[str, Any]:
    return convert_config(config(**changes), overrides).draft.recipe()


def reasons(converted: Conversion) -> dict[str, str]:
    return {left.key: left.reason for left in converted.draft.dropped}


def test_batches_are_rounded_to_what_the_trainers_can_share():
    """8 GPUs, vLLM asks for 1: 7 train; 128 prompts × 5 = 640 completions are not 7 × 5 × k, 630 are."""
    converted = convert_config(
        config(
            data__rollout_batch_size=512,
            worker__actor__global_batch_size=128,
            worker__actor__micro_batch_size_per_device_for_update=1,
            worker__rollout__tensor_parallel_size=1,
        )
    )
    made = converted.draft.recipe()
    assert train(converted.scale) == "axolotl train --num-processes=7 recipe.yaml"
    assert (made["micro_batch_size"], made["gradient_accumulation_steps"]) == (1, 90)
    assert made["trl"]["generation_batch_size"] == 4 * 630
    assert made["rollout"]["gpus"] == made["vllm"]["tensor_parallel_size"] == 1


def test_rollout_batches_become_optimizer_steps():
    made = recipe(
        data__rollout_batch_size=512,
        worker__actor__global_batch_size=128,
        worker__actor__ppo_epochs=2,
        worker__actor__optim__lr_warmup_steps=10,
        trainer__val_freq=5,
        trainer__save_freq=3,
        trainer__max_steps=100,
    )
    assert made["validation"]["every"] == 5 * 8
    assert (made["save_steps"], made["warmup_steps"], made["max_steps"]) == (24, 80, 800)
    assert made["trl"]["num_iterations"] == 2
    assert made["lr_scheduler"] == "constant_with_warmup"


def test_two_machines():
    converted = convert_config(config(trainer__nnodes=2, worker__rollout__tensor_parallel_size=8))
    assert train(converted.scale) == (
        "axolotl train --num-processes=12 --num-machines=2 --machine-rank=RANK --main-process-ip=FIRST "
        "--main-process-port=29500 recipe.yaml"
    )
    assert converted.draft.recipe()["rollout"]["gpus"] == 2
    assert "# 2 machines of 8 GPUs, where EasyR1 used 8 for both, in turns: 6 train on each;" in recipe_text(converted)


def test_one_gpu_becomes_one_to_train_and_one_to_serve():
    converted = convert_config(config(trainer__n_gpus_per_node=1))
    assert converted.scale.processes == converted.scale.serving == 1
    assert "fsdp_config" not in converted.draft.recipe()
    text = recipe_text(converted)
    assert (
        "# 2 GPUs: 1 trains, the last serves vLLM. EasyR1 used 1 for both, in turns; this recipe needs 1 more." in text
    )


def test_single_completions_become_pairs_where_nothing_compares_them():
    converted = convert_config(config(worker__rollout__n=1, algorithm__adv_estimator="remax"))
    assert converted.draft.recipe()["trl"]["num_generations"] == 2
    assert "# worker.rollout.n: 1; a prompt has at least 2 completions here" in recipe_text(converted)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {"name": "grpo", "clip_low": 0.2, "clip_high": 0.3, "clip_dual": 3.0, "loss_average": "token"}),
        ({"algorithm__disable_kl": True}, {"kl_coef": 0.0}),
        (
            {"algorithm__use_kl_loss": True, "algorithm__kl_penalty": "low_var_kl", "algorithm__kl_coef": 0.01},
            {"kl_coef": 0.01, "kl_estimator": "k3", "kl_placement": "loss"},
        ),
        ({"algorithm__kl_penalty": "mse"}, {"kl_estimator": "k2", "kl_placement": "reward"}),
        (
            {"algorithm__kl_type": "adaptive", "algorithm__kl_target": 0.2},
            {"kl_target": 0.2, "kl_horizon": 10000.0},
        ),
        ({"algorithm__adv_estimator": "rloo"}, {"name": "grpo", "advantage": "rloo"}),
        ({"algorithm__adv_estimator": "reinforce_plus_plus"}, {"name": "reinforce_plus_plus"}),
        ({"worker__actor__loss_type": "gspo_token", "worker__actor__loss_avg_mode": "seq"}, {"name": "gspo_token"}),
        (
            {"worker__actor__loss_type": "sapo", "algorithm__adv_estimator": "rloo"},
            {"name": "sapo", "advantage": "rloo"},
        ),
        (
            {"algorithm__online_filtering": True, "trainer__max_try_make_batch": -1},
            {"dynamic_sampling": {"low": 0.01, "high": 0.99}},
        ),
        (
            {"algorithm__online_filtering": True, "algorithm__filter_key": "accuracy"},
            {"dynamic_sampling": {"key": "accuracy", "low": 0.01, "high": 0.99, "max_rounds": 20}},
        ),
    ],
)
def test_algorithms(changes, expected):
    assert recipe(**changes)["algorithm"].items() >= expected.items()


def test_presets_that_do_more_than_easyr1_are_held_back():
    made = recipe(worker__actor__loss_type="cispo", worker__actor__clip_ratio_high=4.0)["algorithm"]
    assert made["dynamic_sampling"] is False and made["overlong"] == "keep"
    assert "clip_dual" not in made and made["clip_high"] == 4.0


def test_the_filter_of_dapo_is_on_our_scale():
    made = recipe(
        worker__reward__reward_function="./examples/reward_function/dapo.py:compute_score",
        worker__reward__reward_function_kwargs={"max_response_length": 20},
        algorithm__online_filtering=True,
        algorithm__filter_key="accuracy_normalized",
    )
    assert made["algorithm"]["dynamic_sampling"] == {"key": "accuracy", "low": -0.98, "high": 0.98, "max_rounds": 20}
    assert made["rewards"]["functions"][1]["kwargs"] == {"max_response_length": 20}


def test_the_earlier_reward_of_dapo():
    kwargs = {"max_response_length": 20, "overlong_buffer_len": 5, "overlong_penalty_factor": 1.0}
    converted = convert_config(
        config(
            worker__reward__reward_function="./examples/reward_function/math_dapo.py:compute_score",
            worker__reward__reward_function_kwargs=kwargs | {"other": 1},
        )
    )
    functions = converted.draft.recipe()["rewards"]["functions"]
    assert functions[1]["function"] == "rewards.dapo.overlong"
    assert functions[1]["kwargs"] == {
        "max_response_length": 20,
        "overlong_buffer_length": 5,
        "overlong_penalty_factor": 1.0,
    }
    assert reasons(converted)["worker.reward.reward_function_kwargs.other"].endswith("takes no such argument")


@pytest.mark.parametrize(
    ("function", "kwargs", "expected"),
    [
        (MATH, {}, [("rewards.math.accuracy", 0.9), ("rewards.math.format", 0.1)]),
        (MATH, {"format_weight": 0.25}, [("rewards.math.accuracy", 0.75), ("rewards.math.format", 0.25)]),
        (
            "examples/reward_function/r1v.py:compute_score",
            {},
            [("rewards.r1v.accuracy", 0.5), ("rewards.r1v.format", 0.5)],
        ),
        ("mine/math.py:compute_score", {}, [("mine/math.py:compute_score", None)]),
        ("mine/math.py", {}, [("mine/math.py:main", None)]),
        ("math", {}, [("rewards.math.accuracy", 0.9), ("rewards.math.format", 0.1)]),
        ("r1v", {}, [("rewards.r1v.accuracy", 0.5), ("rewards.r1v.format", 0.5)]),
    ],
)
def test_rewards(function, kwargs, expected):
    made = recipe(worker__reward__reward_function=function, worker__reward__reward_function_kwargs=kwargs)
    assert [(one["function"], one.get("weight")) for one in made["rewards"]["functions"]] == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("user/data@validation", "user/data@validation"),
        ("user/data", "user/data@train"),
        ("./data/rows.jsonl", "./data/rows.jsonl"),
        ("rows.parquet@train", "rows.parquet"),
        (["a/b", "c/d@x"], ["a/b@train", "c/d@x"]),
        (["a/b"], "a/b@train"),
    ],
)
def test_sources(written, expected):
    assert recipe(data__train_files=written)["prompts"]["train"] == expected


def test_a_split_that_is_dropped_is_said():
    text = recipe_text(convert_config(config(data__train_files="rows.jsonl@train")))
    assert "# data.train_files; a file is read whole, so @train is dropped" in text


def test_templates_of_the_examples_are_ours_and_others_stay():
    assert recipe(data__format_prompt="./examples/format_prompt/r1v.jinja")["prompts"]["template"] == (
        "recipes/prompts/r1v.jinja"
    )
    assert recipe(data__format_prompt="./examples/format_prompt/math_format.jinja")["prompts"]["template"] == (
        "recipes/prompts/math.jinja"
    )
    assert recipe(data__format_prompt="mine/r1v.jinja")["prompts"]["template"] == "mine/r1v.jinja"


def test_images_and_their_adapter():
    made = recipe(
        worker__actor__model__model_path="Qwen/Qwen2.5-VL-3B-Instruct",
        worker__actor__model__freeze_vision_tower=True,
        worker__actor__model__lora={"rank": 8, "target_modules": "all-linear", "exclude_modules": ".*visual.*"},
        worker__rollout__limit_images=2,
    )
    assert made["prompts"]["image_key"] == "images"
    assert made["processor_type"] == "AutoProcessor" and made["freeze_mm_modules"] is True
    assert made["rollout"]["args"] == ["--limit-mm-per-prompt", '{"image": 2}']
    assert "language_model" in made["lora_target_modules"] and made["optimizer"] == "adamw_torch_fused"


def test_a_text_model_has_no_images():
    converted = convert_config(config(data__image_key="images"))
    assert "image_key" not in converted.draft.recipe()["prompts"]
    assert reasons(converted)["data.image_key"] == "the model reads text alone"


def test_overrides_win_and_are_typed():
    made = recipe(
        "config=examples/config.yaml",
        "worker.actor.optim.lr=1e-5",
        'worker.rollout.val_override_config={"n":16,"temperature":1.0}',
        "algorithm.disable_kl=True",
        "trainer.logger=['console','tensorboard']",
        worker__actor__optim__lr=1e-6,
    )
    assert made["learning_rate"] == 1e-5
    assert made["validation"]["samples"] == 16 and made["validation"]["temperature"] == 1.0
    assert made["algorithm"]["kl_coef"] == 0.0
    assert made["use_tensorboard"] is True and "wandb_project" not in made


def test_keys_that_easyr1_does_not_know_are_said_to_be_so():
    converted = convert_config(config(worker__actor__clip_ration=0.2))
    assert reasons(converted)["worker.actor.clip_ration"].startswith("no key of EasyR1")


def test_keys_of_earlier_versions():
    """The last is that of an example of March 2025, whose reward is named by one word."""
    changes: dict[str, Any] = {
        "trainer__test_freq": 5,
        "worker__actor__kl_loss_coef": 0.02,
        "worker__actor__clip_ratio": 0.1,
        "data__system_prompt": "Think.",
        "worker__reward__reward_function": None,
    }
    converted = convert_config(config(**changes), ["worker.reward.compute_score=r1v"])
    made = converted.draft.recipe()
    assert made["validation"]["every"] == 5 * converted.scale.steps_per_rollout
    assert made["algorithm"]["kl_coef"] == 0.02
    assert made["algorithm"]["clip_low"] == made["algorithm"]["clip_high"] == 0.1
    assert made["prompts"]["system"] == "Think."
    assert made["rewards"]["functions"][0]["function"] == "rewards.r1v.accuracy"


@pytest.mark.parametrize("example", [OLDEST, NEWEST, OLDEST | {"worker.reward.compute_score": "r1v"}])
def test_the_recipes_of_public_examples_could_start(tmp_path, monkeypatch, example):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    converted = convert_config(nest(example))
    path = tmp_path / "recipe.yaml"
    path.write_text(recipe_text(converted))
    result = CliRunner().invoke(plan, [str(path), "--gpus=8", "--num-processes=6", "--rows=5000"])
    assert result.exit_code == 0, result.output


def test_a_tracker_that_axolotl_lacks_is_explained_once():
    text = recipe_text(convert_config(config(trainer__logger=["console", "swanlab"])))
    assert text.count("trainer.logger") == 1


def test_no_number_of_workers_is_invented():
    converted = convert_config(config(worker__reward__num_cpus=1))
    assert "workers" not in converted.draft.recipe()["rewards"]
    assert "rewards.workers says how many" in reasons(converted)["worker.reward.num_cpus"]


def test_no_command_is_named_that_does_not_exist():
    reason = reasons(convert_config(config(trainer__val_only=True)))["trainer.val_only"]
    assert "axolotl grpo score" in reason


def test_an_unlimited_number_of_checkpoints_is_not_taken_over_in_silence():
    converted = convert_config(config(trainer__save_freq=5, trainer__save_limit=-1))
    assert "save_total_limit" not in converted.draft.recipe()
    assert "limit, of 4" in reasons(converted)["trainer.save_limit"]


def test_the_text_is_the_recipe(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config(data__video_fps=1.0, worker__rollout__limit_images=1)))
    result = CliRunner().invoke(command, [str(path), "worker.rollout.n=8"])
    converted = convert_config(yaml.safe_load(path.read_text()), ["worker.rollout.n=8"])
    assert result.exit_code == 0
    assert result.stdout == recipe_text(converted)
    assert yaml.safe_load(result.stdout) == converted.draft.recipe()
    assert "#   data.video_fps: 1.0 — videos are not trained on here" in result.stdout
    assert "  num_generations: 8                        # worker.rollout.n" in result.stdout
