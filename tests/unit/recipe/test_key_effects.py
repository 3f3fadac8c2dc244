"""Every key of Axolotl's schema has an effect or is refused in one sentence, before anything loads."""

from dataclasses import fields
from functools import cache
from typing import Any

import pytest

from grpo_plugin.errors import RecipeError
from grpo_plugin.recipe import check, parse
from grpo_plugin.recipe.axolotl_keys import TRL_OPTIONS
from grpo_plugin.recipe.key_effects import EFFECTIVE
from grpo_plugin.recipe.refused_keys import (
    REFUSED,
    WITH_PROMPTS,
    WITH_REWARDS,
    WITHOUT_ADAPTER,
    WITHOUT_ROLLOUT,
    WITHOUT_VLLM,
)

PLUGINS = ("Prompt", "Reward", "Rollout")


@cache
def schema() -> dict[str, Any]:
    """Every key of Axolotl's schema, those of `trl:` and `vllm:` dotted, with its default."""
    from axolotl.utils.schemas.config import AxolotlInputConfig
    from axolotl.utils.schemas.trl import TRLConfig
    from axolotl.utils.schemas.vllm import VllmConfig

    models = {"": AxolotlInputConfig, "trl.": TRLConfig, "vllm.": VllmConfig}
    return {
        prefix + key: field.get_default(call_default_factory=True)
        for prefix, model in models.items()
        for key, field in model.model_fields.items()
    }


def values(plugins=PLUGINS, **changes) -> dict[str, Any]:
    made: dict[str, Any] = {
        "base_model": "user/model",
        "plugins": [f"grpo_plugin.{name}Plugin" for name in plugins],
        "trl": {},
    }
    if "Prompt" in plugins:
        made["prompts"] = {"train": "user/data@train"}
    if "Reward" in plugins:
        made["rewards"] = {"functions": [{"function": "rewards.math.accuracy"}]}
    for key, value in changes.items():
        *blocks, name = key.split("__")
        inner = made
        for block in blocks:
            inner = inner.setdefault(block, {})
        inner[name] = value
    return made


def refusal(plugins=PLUGINS, **changes) -> str:
    with pytest.raises(RecipeError) as caught:
        parse(values(plugins, **changes))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_every_key_of_the_schema_has_an_effect_or_is_refused():
    assert EFFECTIVE | REFUSED.keys() == schema().keys()
    assert not EFFECTIVE & REFUSED.keys()


def test_every_option_of_trls_own_config_has_an_effect_or_is_refused():
    from transformers import TrainingArguments
    from trl import GRPOConfig

    options = {field.name for field in fields(GRPOConfig)} - {field.name for field in fields(TrainingArguments)}
    known = {key.removeprefix("trl.") for key in EFFECTIVE} | TRL_OPTIONS
    assert len(options - known) > 20
    for name in options - known:
        assert refusal(**{f"trl__{name}": "something"}).startswith(f"trl.{name}: ")


def test_what_some_recipes_refuse_has_an_effect_in_others():
    for refused in (WITH_PROMPTS, WITH_REWARDS, WITHOUT_ADAPTER, WITHOUT_ROLLOUT, WITHOUT_VLLM):
        assert {key for key in refused if not key.startswith("trl.generation_kwargs.")} <= EFFECTIVE


@pytest.mark.parametrize("key", [*REFUSED, *WITH_PROMPTS, *WITH_REWARDS])
def test_each_is_refused_with_field_value_and_reason(key):
    value: Any = False if key in NEUTRAL_WHEN_ON else 2 if key.endswith(("_size", "_degree")) else "something"
    found = refusal(**{key.replace(".", "__"): value})
    assert found.startswith(f"{key}: {value!r} ") and found.endswith(".")


NEUTRAL_WHEN_ON = {key for key, refusal in REFUSED.items() if True in refusal.neutral[:2]}
NEUTRAL_WHEN_ON |= {key for key, refusal in WITH_PROMPTS.items() if True in refusal.neutral[:2]}


@pytest.mark.parametrize(
    ("key", "value"),
    [("lora_r", 8), ("lora_alpha", 16), ("lora_target_linear", True), ("lora_target_modules", ["q_proj"])],
)
def test_keys_of_an_adapter_need_one(key, value):
    assert refusal(**{key: value}).startswith(f"{key}: {value!r} has no effect without `adapter`")
    parse(values(adapter="lora", **{key: value}))


def test_keys_that_are_on_by_default_are_those_of_the_schema():
    on = {key for key in REFUSED.keys() | WITH_PROMPTS.keys() if schema()[key] is True}
    assert on - {"include_tkps"} == NEUTRAL_WHEN_ON


@pytest.mark.parametrize(
    "changes",
    [
        {"load_best_model_at_end": False, "val_set_size": 0, "sample_packing": False, "eval_strategy": "no"},
        {"context_parallel_size": 1, "dataloader_num_workers": 0, "datasets": None, "trl__async_prefetch": False},
        {"trl__vllm_mode": "server", "trl__skip_zero_advantage_batches": True, "vllm__device": "auto"},
        {"save_safetensors": True, "shuffle_merged_datasets": True, "trl__reward_num_workers": 1},
    ],
)
def test_values_that_ask_for_nothing_pass(changes):
    parse(values(**changes))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"load_best_model_at_end": True}, "load_best_model_at_end: True is not supported: the last model is saved;"),
        ({"val_set_size": 0.1}, "val_set_size: 0.1 is not read with PromptPlugin; name held-out data as prompts.val"),
        ({"evals_per_epoch": 1}, "evals_per_epoch: 1 is not read with PromptPlugin; use validation.every."),
        ({"trl__reward_weights": [1.0]}, "trl.reward_weights: [1.0] is not read with RewardPlugin; set the weight of"),
        ({"trl__log_completions": True}, "trl.log_completions: True has no effect; every completion is logged in the"),
        ({"trl__async_prefetch": True}, "which this package's trainer replaces; use rollout.lookahead: 1."),
        ({"context_parallel_size": 2}, "context_parallel_size: 2 divides sequences over GPUs, which GRPO's trainer"),
        ({"trl__vllm_mode": "colocate"}, "trl.vllm_mode: 'colocate' shares GPUs between trainer and vLLM"),
        ({"dataloader_num_workers": 2}, "dataloader_num_workers: 2 has no effect: prompts are read ahead by this"),
    ],
)
def test_refusals_by_hand(changes, expected):
    assert expected in refusal(**changes)


def test_without_the_plugin_axolotls_own_data_and_rewards_have_their_effect():
    own = {"datasets": [{"path": "user/data"}], "test_datasets": [{"path": "user/data"}], "eval_steps": 5}
    parse(values(("Reward",), **own))
    parse(values(("Prompt",), trl__reward_funcs=["rewards.math.accuracy"], trl__reward_weights=[1.0]))


@pytest.mark.parametrize(
    ("key", "value"),
    [("correction", False), ("mode", "token_mask"), ("cap", 2.0), ("clip_min", 0.5), ("clip_max", 2.0)],
)
def test_trls_importance_weights_have_their_effect_or_the_algorithm_blocks(key, value):
    parse(values(**{f"trl__vllm_importance_sampling_{key}": value}))
    decided = values((*PLUGINS, "Algorithm"), **{f"trl__vllm_importance_sampling_{key}": value})
    decided["algorithm"] = {"name": "grpo"}
    with pytest.raises(RecipeError, match=f"trl.vllm_importance_sampling_{key}: is decided by the algorithm block"):
        parse(decided)


def test_vllm_without_its_plugin_is_refused():
    assert refusal(("Prompt", "Reward"), trl__use_vllm=True).startswith("trl.use_vllm: True needs RolloutPlugin")
    assert "is read by RolloutPlugin alone" in refusal(("Prompt", "Reward"), vllm__max_model_len=512)


@pytest.mark.parametrize("key", ["trl__generation_kwargs__stop", "trl__generation_kwargs__stop_strings"])
def test_stop_strings_are_vllms(key):
    parse(values(**{key: ["END"]}))
    for changed in (values(("Prompt", "Reward"), **{key: ["END"]}), values(trl__use_vllm=False, **{key: ["END"]})):
        with pytest.raises(RecipeError, match=r"^trl.generation_kwargs.stop\w*: \['END'\] has no effect where Hugging"):
            parse(changed)


def test_values_that_would_fail_late():
    assert refusal(save_strategy="best").startswith("save_strategy: 'best' needs metrics")
    parse(values(save_strategy="epoch", trl__top_k=-1))
    assert refusal(("Prompt", "Reward"), trl__top_k=-1).startswith("trl.top_k: -1 means all tokens in vLLM alone")
    parse(values(("Prompt", "Reward"), trl__top_k=0))


def test_a_worker_of_ray_is_not_stopped_by_axolotls_defaults():
    """It gets the validated configuration, with every default in it."""
    defaults = {key.replace(".", "__"): value for key, value in schema().items() if key in REFUSED}
    check(values(**defaults, world_size=2))
