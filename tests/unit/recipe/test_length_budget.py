import pytest

from grpo_plugin.errors import RecipeError
from grpo_plugin.recipe import Recipe, parse
from grpo_plugin.recipe.length_budget import check_longest_prompt, model_length, sequence_limit

QWEN = {"max_position_embeddings": 512}


def recipe(max_length: int | None = None, vllm: dict | None = None, **rollout) -> Recipe:
    """Completions of 256 tokens; vLLM generates if its block is given."""
    plugins = ["PromptPlugin", "RewardPlugin", *(["RolloutPlugin"] if vllm is not None else [])]
    values = {
        "base_model": "user/model",
        "plugins": [f"grpo_plugin.{name}" for name in plugins],
        "prompts": {"train": "user/data@train", "max_length": max_length},
        "rewards": {"functions": [{"function": "rewards.math.accuracy"}]},
        "trl": {"max_completion_length": 256},
    }
    return parse(values | ({} if vllm is None else {"vllm": vllm, "rollout": rollout}))


def test_the_model_length_is_set_where_it_is_not():
    assert model_length(512, 1024, None) == 1536
    assert model_length(512, 1024, 2048) == 2048
    assert model_length(None, 1024, None) is None
    assert model_length(None, 1024, 64) == 64


def test_limits_that_do_not_fit_are_told_with_the_number_that_does():
    with pytest.raises(RecipeError, match=r"vllm.max_model_len: 1535 tokens cannot hold .* raise it to 1536"):
        model_length(512, 1024, 1535)
    with pytest.raises(RecipeError, match=r"data \(300\) .*; raise it to 556, or set prompts.max_length to 244"):
        check_longest_prompt(recipe(vllm={"max_model_len": 500}), 300, QWEN)
    check_longest_prompt(recipe(vllm={"max_model_len": 500}), 244, {"max_position_embeddings": 400})
    check_longest_prompt(recipe(vllm={"max_model_len": 500}), None, QWEN)


@pytest.mark.parametrize("vllm", [{}, None], ids=["vLLM", "Hugging Face"])
def test_without_a_limit_the_models_own_positions_count(vllm):
    with pytest.raises(RecipeError, match=r"^base_model: its 512 positions .*; set prompts.max_length to 256"):
        check_longest_prompt(recipe(vllm=vllm), 257, QWEN)
    check_longest_prompt(recipe(vllm=vllm), 256, QWEN)
    check_longest_prompt(recipe(vllm=vllm), 9999, None)
    check_longest_prompt(recipe(vllm=vllm), 9999, {"model_type": "rwkv"})


def test_hugging_face_has_no_limit_but_the_models_positions():
    check_longest_prompt(recipe(max_length=200), 200, QWEN)
    with pytest.raises(RecipeError, match=r"^base_model: its 512 positions"):
        check_longest_prompt(recipe(max_length=300), 300, QWEN)


def test_stretched_positions_and_overrides_of_vllm_count():
    stretched = {**QWEN, "rope_scaling": {"type": "linear", "factor": 2}}
    check_longest_prompt(recipe(vllm={}), 700, stretched)
    overridden = recipe(vllm={}, args=['--hf-overrides={"max_position_embeddings": 1024}'])
    check_longest_prompt(overridden, 700, QWEN)
    with pytest.raises(RecipeError, match=r"^base_model: its 1024 positions"):
        check_longest_prompt(overridden, 769, QWEN)


def test_a_server_elsewhere_has_its_own_limits():
    check_longest_prompt(recipe(vllm={}, url="http://host:8000"), 9999, QWEN)


def test_a_sequence_may_be_as_long_as_server_and_model_take():
    """`recipe()` has TRL's 256 tokens of completion, QWEN 512 positions."""
    assert sequence_limit(recipe(max_length=100), QWEN, serves=True) == 356
    assert sequence_limit(recipe(max_length=100, vllm={"max_model_len": 400}), QWEN, serves=True) == 400
    assert sequence_limit(recipe(max_length=300), QWEN, serves=True) == 512
    assert sequence_limit(recipe(max_length=100), QWEN, serves=False) == 512
    assert sequence_limit(recipe(), {}, serves=True) is None
