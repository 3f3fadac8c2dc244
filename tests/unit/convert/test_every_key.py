"""Whatever is set in a configuration stands, by its dotted name, in a comment of the recipe."""

import re
from typing import Any

import pytest
import yaml

from grpo_plugin.convert.easyr1.conversion import convert_config
from grpo_plugin.convert.easyr1.flat_values import flatten, nest
from grpo_plugin.convert.easyr1.known_keys import RENAMED, RETIRED
from grpo_plugin.convert.easyr1.recipe_text import recipe_text
from grpo_plugin.convert.easyr1.value_types import CHOICES, KNOWN
from tests.unit.convert.configurations import MATH, NEWEST, OLDEST, config

UNFOUND = ("no key of EasyR1", "has no counterpart")  # what the importer says of a key that its own code forgot
NEEDED = dict(flatten(config()))

# What a value that is not the default may be, where its type alone does not say.
OTHER = {
    "algorithm.kl_penalty": "abs",
    "worker.actor.model.model_path": "Qwen/Qwen3-4B",
    "worker.actor.model.override_config": {"rope_scaling": {"type": "yarn", "factor": 4.0}},
    "worker.actor.model.lora.target_modules": "q_proj,v_proj",
    "worker.actor.optim.betas": [0.8, 0.9],
    "worker.reward.reward_function": "mine.py:score",
    "worker.reward.reward_function_kwargs": {"format_weight": 0.3, "other": 1},
    "worker.rollout.name": "vllm",
    "worker.rollout.tensor_parallel_size": 1,
    "worker.rollout.val_override_config": {"n": 3, "top_k": 5},
    "trainer.logger": ["mlflow"],
    "data.train_files": ["other/data@train", "rows.jsonl"],
}
OF_OLD = {
    "worker.reward.compute_score": "r1v",
    "worker.reward.score_function": MATH,
    "worker.reward.score_function_kwargs": {"format_weight": 0.2},
}

SITUATIONS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "no KL": {"algorithm.disable_kl": True},
    "adaptive": {"algorithm.kl_type": "adaptive", "algorithm.kl_target": 0.1, "algorithm.kl_horizon": 1e4},
    "KL in the reward": {"algorithm.use_kl_loss": False, "algorithm.kl_type": "adaptive"},
    "steps of warm-up": {"worker.actor.optim.lr_warmup_steps": 3, "worker.actor.optim.lr_warmup_ratio": 0.1},
    "no resuming": {"trainer.find_last_checkpoint": False},
    "from a checkpoint": {"trainer.load_checkpoint_path": "old/global_step_5"},
    "elsewhere": {"trainer.save_checkpoint_path": "/x", "trainer.logger": ["console"]},
    "no validation": {"trainer.val_freq": -1, "data.val_files": None},
    "no checkpoints": {"trainer.save_freq": -1, "trainer.save_limit": -1},
    "filtered": {"algorithm.online_filtering": True, "trainer.max_try_make_batch": -1},
    "images": {"worker.actor.model.model_path": "Qwen/Qwen2.5-VL-7B-Instruct", "worker.rollout.limit_images": 2},
    "adapter": {"worker.actor.model.lora.rank": 8, "worker.actor.model.lora.target_modules": "q_proj"},
    "one GPU": {"trainer.n_gpus_per_node": 1},
    "machines": {"trainer.nnodes": 4},
    "discounted": {"algorithm.gamma": 0.9, "algorithm.lam": 0.95},
    "undiscounted": {"algorithm.gamma": 1.0},
    "critic": {"algorithm.adv_estimator": "gae", "worker.critic.optim.lr": 1e-5},
    "sapo": {"worker.actor.loss_type": "sapo", "worker.actor.tau_positive": 1.0},
    "cispo": {"worker.actor.loss_type": "cispo", "worker.actor.clip_ratio_dual": 3.0},
    "misspelt": {"worker.rollout.temprature": 1.0, "mine": {"a": [1, {"b": 2}], "empty": {}}},
}


def unexplained(values: dict[str, Any], *overrides: str) -> list[str]:
    """The leaves of a configuration that no comment of its recipe names."""
    comments = [line.partition("#")[2] for line in recipe_text(convert_config(values, overrides)).splitlines()]
    named = set(re.findall(r"[\w.]*\w", "\n".join(comments)))
    words = (word.split("=", 1) for word in overrides)
    leaves = dict(flatten(values)) | {
        key: value for word, text in words for key, value in flatten({word: yaml.safe_load(text)})
    }
    return [key for key in leaves if key not in named]


@pytest.mark.parametrize("changes", SITUATIONS.values(), ids=SITUATIONS)
@pytest.mark.parametrize("example", [OLDEST, NEWEST], ids=["oldest", "newest"])
def test_every_leaf_is_named(example, changes):
    values = nest({key: value for key, value in example.items() if key not in changes} | changes)
    assert unexplained(values) == []
    assert unexplained(nest(example), *[f"{key}={yaml.safe_dump(value)}" for key, value in changes.items()]) == []


def other(key: str) -> Any:
    """A value that is not the default."""
    default = KNOWN[key]
    if key in OTHER:
        return OTHER[key]
    if key in CHOICES:
        return next(choice for choice in CHOICES[key] if choice != default)
    if isinstance(default, bool):
        return not default
    if isinstance(default, (int, float)):
        return default * 2 + 1 if default >= 0 else 3
    return 4 if key.endswith(("_steps", "_len", "_size", "_seqs", "_ratio")) else "other"


@pytest.mark.parametrize("key", KNOWN)
@pytest.mark.parametrize("value_of", [other, KNOWN.get], ids=["other", "default"])
def test_every_key_by_itself(key, value_of):
    value = value_of(key)
    needed = key in NEEDED and value in ("", None, 1)
    values = nest(NEEDED | ({} if needed else {key: value}))
    text = recipe_text(convert_config(values))
    assert unexplained(values) == [] and not any(words in text for words in UNFOUND)


@pytest.mark.parametrize("key", [*RENAMED, *RETIRED])
def test_every_key_of_earlier_versions(key):
    now = RENAMED.get(key, (key,))[0]
    value = OF_OLD.get(key) or (other(now) if now in KNOWN else True)
    values = nest({known: given for known, given in NEEDED.items() if known != now} | {key: value})
    text = recipe_text(convert_config(values))
    assert unexplained(values) == [] and not any(words in text for words in UNFOUND)


def test_of_two_spellings_one_counts_and_the_other_is_named():
    """In the oldest versions a KL in the loss had a coefficient of its own."""
    converted = convert_config(nest(OLDEST))
    assert converted.draft.recipe()["algorithm"]["kl_coef"] == 0.001
    assert "#   algorithm.kl_coef: 0.0 — worker.actor.kl_loss_coef is used instead" in recipe_text(converted)
    kept_out = convert_config(nest(OLDEST | {"worker.actor.use_kl_loss": False}))
    assert kept_out.draft.recipe()["algorithm"]["kl_coef"] == 0.0


def test_a_value_that_a_later_word_cuts_off_is_named():
    words = "worker.rollout.val_override_config=null"
    assert unexplained(nest(NEWEST), words) == []
    assert "validation.samples" not in convert_config(nest(NEWEST), [words]).draft.values


def test_comments_survive_odd_values():
    odd = nest(NEEDED | {"data.video_key": "two\nlines", "trainer.experiment_name": "a # b: c"})
    converted = convert_config(odd, ['worker.reward.reward_function_kwargs={"text": "one\\ntwo"}'])
    assert yaml.safe_load(recipe_text(converted)) == converted.draft.recipe()
