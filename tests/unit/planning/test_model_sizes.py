import json

import pytest

from grpo_plugin.planning.model_shapes import SHAPES, find_model
from grpo_plugin.planning.model_sizes import from_config

# Parameters of the released models, counted by transformers 5.16 on the meta device.
COUNTED = {
    "Qwen2.5-1.5B": 1_543_714_304,
    "Qwen2.5-7B": 7_615_616_512,
    "Qwen2.5-14B": 14_770_033_664,
    "Qwen3-4B": 4_022_468_096,
    "Qwen3-14B": 14_768_307_200,
    "Qwen3-30B-A3B": 30_532_122_624,
    "Qwen2.5-VL-3B": 3_754_622_976,
    "Qwen2.5-VL-7B": 8_292_166_656,
    "Qwen2.5-VL-32B": 33_452_718_336,
    "Qwen3-VL-4B": 4_437_815_808,
    "Llama-3.1-8B": 8_030_261_248,
}

SMALL = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "vocab_size": 100,
    "max_position_embeddings": 512,
}


@pytest.mark.parametrize("name", COUNTED)
def test_parameters_are_those_of_the_released_models(name):
    assert SHAPES[name].parameters == pytest.approx(COUNTED[name], rel=1.2e-3)


def test_a_small_model_by_hand():
    """Per layer 4 × 64² of attention, 3 × 64 × 128 of feed-forward, 2 × 64 of norms; two embeddings and a norm."""
    shape = from_config(SMALL)
    assert shape.layer == 4 * 64 * 64 + 3 * 64 * 128 + 128
    assert shape.parameters == 2 * shape.layer + 2 * 100 * 64 + 64
    assert shape.cache_per_token == 2 * 2 * 64 * 2


def test_grouped_keys_wide_heads_and_tied_embeddings():
    shape = from_config(SMALL | {"num_key_value_heads": 2, "head_dim": 32, "tie_word_embeddings": True})
    assert (shape.attention, shape.kv) == (128, 64)
    assert shape.layer == 2 * 64 * 128 + 2 * 64 * 64 + 3 * 64 * 128 + 128
    assert shape.embeddings == 100 * 64


def test_experts():
    dense = from_config(SMALL)
    sparse = from_config(SMALL | {"num_experts": 4, "moe_intermediate_size": 128})
    assert sparse.layer == dense.layer + 3 * (3 * 64 * 128) + 64 * 4


def test_the_text_part_of_a_vision_model():
    vision = {"depth": 1, "hidden_size": 8, "intermediate_size": 16, "out_hidden_size": 64, "window_size": 112}
    shape = from_config({"text_config": SMALL, "vision_config": vision})
    tower = 4 * 8**2 + 3 * 8 * 16 + (32**2 + 32 * 64)
    assert shape.parameters == from_config(SMALL).parameters + tower


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("Qwen/Qwen2.5-7B-Instruct", "Qwen2.5-7B"),
        ("unsloth/qwen2.5-7b", "Qwen2.5-7B"),
        ("Qwen/Qwen2.5-Coder-7B", "Qwen2.5-7B"),
        ("Qwen/Qwen2.5-VL-7B-Instruct", "Qwen2.5-VL-7B"),
        ("meta-llama/Llama-3.2-1B-Instruct", "Llama-3.2-1B"),
    ],
)
def test_well_known_models_are_found_by_name(name, known, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    found = find_model(name)
    assert found.shape == SHAPES[known] and not found.exact


def test_others_are_found_in_a_folder_or_the_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    assert find_model("user/unknown") is None
    snapshot = tmp_path / "hub" / "models--user--unknown" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text(json.dumps(SMALL))
    for name in ("user/unknown", str(snapshot)):
        found = find_model(name)
        assert found.exact and found.shape == from_config(SMALL)


def test_a_folder_without_a_usable_config_is_unknown(tmp_path):
    assert find_model(str(tmp_path)) is None
    (tmp_path / "config.json").write_text("{}")
    assert find_model(str(tmp_path)) is None


def test_positions_are_those_of_the_one_rule():
    assert from_config(SMALL | {"rope_scaling": {"type": "linear", "factor": 2}}).positions == 1024
    assert from_config({key: value for key, value in SMALL.items() if key != "max_position_embeddings"}).positions == 0
