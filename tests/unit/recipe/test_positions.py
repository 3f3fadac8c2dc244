"""The longest sequence of a model, by vLLM's rules; figures by hand, and transformers' own configurations."""

import pytest

from grpo_plugin.recipe.positions import lifts_limit, positions, with_overrides

BASE = {"max_position_embeddings": 512}


def yarn(factor: float, **more) -> dict:
    return {"rope_type": "yarn", "factor": factor, **more}


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (BASE, 512),
        ({"n_positions": 1024}, 1024),
        ({"max_position_embeddings": 512, "seq_length": 256}, 256),
        ({"max_position_embeddings": 8192, "model_max_length": 131072}, 131072),
        ({"model_type": "mamba"}, None),
        ({}, None),
        ({"max_position_embeddings": None}, None),
        (BASE | {"rope_scaling": None}, 512),
        (BASE | {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}}, 512),
        (BASE | {"rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]}}, 512),
        # stretched on top of max_position_embeddings
        (BASE | {"rope_scaling": {"type": "linear", "factor": 2}}, 1024),
        (BASE | {"rope_parameters": {"rope_type": "dynamic", "factor": 4.0}}, 2048),
        (BASE | {"rope_scaling": {"rope_type": "dynamic", "factor": None}}, 512),
        # counted in max_position_embeddings already
        (BASE | {"rope_scaling": {"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 64}}, 512),
        (BASE | {"rope_scaling": {"type": "longrope", "long_factor": [1.0], "factor": 32.0}}, 512),
        (BASE | {"model_type": "gemma3_text", "rope_scaling": {"rope_type": "linear", "factor": 8.0}}, 512),
        # YaRN: DeepSeek-V3 counts it (163840 = 4096 * 40), Qwen2.5's advice for long texts does not
        ({"max_position_embeddings": 163840, "rope_scaling": yarn(40, original_max_position_embeddings=4096)}, 163840),
        ({"max_position_embeddings": 32768, "rope_scaling": yarn(4, original_max_position_embeddings=32768)}, 131072),
        (BASE | {"rope_parameters": yarn(4.0)}, 2048),
        # the text part of a vision model, and one rotary embedding per type of layer
        ({"max_position_embeddings": 9, "text_config": BASE}, 512),
        ({"text_config": BASE | {"rope_scaling": {"type": "linear", "factor": 2}}}, 1024),
        (BASE | {"rope_parameters": {"full": {"rope_type": "linear", "factor": 8}, "sliding": {}}}, 4096),
    ],
)
def test_positions(config, expected):
    assert positions(config) == expected


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ([], 512),
        (["--enforce-eager"], 512),
        (['--hf-overrides={"max_position_embeddings": 1024}'], 1024),
        (["--hf-overrides", '{"max_position_embeddings": 1024}'], 1024),
        (['--hf_overrides={"max_position_embeddings": 1024}'], 1024),
        (["--hf-overrides.max_position_embeddings", "1024"], 1024),
        (["--hf-overrides.rope_scaling.factor=2", "--enforce-eager"], 1024),
        (['--hf-overrides={"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}'], 2048),
        (['--hf-overrides={"rope_parameters": {"rope_type": "linear", "factor": 3}}'], 1536),
        (["--hf-overrides={}"], 512),
        (["--hf-overrides=not json"], 512),
        (["--hf-overrides"], 512),
        (["--hf-overrides-of-another-option=1"], 512),
    ],
)
def test_the_overrides_that_vllm_is_started_with(args, expected):
    assert positions(BASE, args) == expected


def test_overrides_of_a_text_config_are_merged_into_it():
    config = {"text_config": BASE | {"vocab_size": 7}}
    changed = with_overrides(config, {"text_config": {"max_position_embeddings": 1024}})
    assert changed["text_config"] == {"max_position_embeddings": 1024, "vocab_size": 7}
    assert config["text_config"]["max_position_embeddings"] == 512
    assert positions(config, ['--hf-overrides={"text_config": {"max_position_embeddings": 1024}}']) == 1024


def test_an_override_of_rotary_embeddings_goes_before_both_names():
    stretched = BASE | {"rope_parameters": {"rope_type": "default"}}
    assert positions(with_overrides(stretched, {"rope_scaling": {"type": "linear", "factor": 2}})) == 1024
    old = BASE | {"rope_scaling": {"type": "linear", "factor": 2}}
    assert positions(with_overrides(old, {"rope_parameters": {"rope_type": "default"}})) == 512


@pytest.mark.parametrize(("value", "lifts"), [("1", True), ("true", True), ("TRUE", True), ("0", False), ("", False)])
def test_the_environment_lifts_vllms_limit(value, lifts):
    assert lifts_limit({"VLLM_ALLOW_LONG_MAX_MODEL_LEN": value}) is lifts
    assert not lifts_limit({})


def test_the_configurations_of_transformers_say_the_same_as_their_files():
    from transformers import Gemma3TextConfig, LlamaConfig, Qwen2Config, Qwen3VLConfig

    llama3 = {"rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    for config, expected in [
        (Qwen2Config(max_position_embeddings=512), 512),
        (Qwen2Config(max_position_embeddings=512, rope_parameters=yarn(4.0, rope_theta=1e6)), 2048),
        (LlamaConfig(rope_parameters=llama3 | {"original_max_position_embeddings": 64}, **BASE), 512),
        (Qwen3VLConfig(text_config={"max_position_embeddings": 256}), 256),
        (Gemma3TextConfig(max_position_embeddings=1024), 1024),
    ]:
        assert positions(config.to_dict()) == expected, type(config)
