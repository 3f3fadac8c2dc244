import pytest
from transformers import Qwen2Config, Qwen3VLConfig

from grpo_plugin.errors import RecipeError
from grpo_plugin.recipe.length_budget import check_longest, model_length, positions


def test_the_model_length_is_set_where_it_is_not():
    assert model_length(512, 1024, None) == 1536
    assert model_length(512, 1024, 2048) == 2048
    assert model_length(None, 1024, None) is None
    assert model_length(None, 1024, 64) == 64


def test_limits_that_do_not_fit_are_told_with_the_number_that_does():
    with pytest.raises(RecipeError, match=r"vllm.max_model_len: 1535 tokens cannot hold .* raise it to 1536"):
        model_length(512, 1024, 1535)
    with pytest.raises(RecipeError, match=r"the longest prompt of the data \(600\) .* prompts.max_length to 511"):
        check_longest(600, 1024, 1535, None)
    check_longest(511, 1024, 1535, 512)
    check_longest(None, 1024, 1535, 512)
    check_longest(600, 1024, None, None)


def test_without_a_limit_the_models_own_positions_count():
    with pytest.raises(RecipeError, match=r"^base_model: its 512 positions cannot hold .*max_length to 256"):
        check_longest(300, 256, None, 512)
    check_longest(256, 256, None, 512)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (Qwen2Config(max_position_embeddings=512), 512),
        (Qwen3VLConfig(text_config={"max_position_embeddings": 256}), 256),
        (Qwen2Config(rope_parameters={"rope_type": "yarn", "rope_theta": 1e6, "factor": 4.0}), None),
    ],
)
def test_positions_are_read_off_the_configuration(config, expected):
    assert positions(config) == expected
