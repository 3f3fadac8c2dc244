import pytest

from grpo_plugin.errors import RecipeError
from grpo_plugin.recipe import axolotl_keys, check, is_ours, read


def recipe(**changes):
    values = {
        "base_model": "Qwen/Qwen2.5-1.5B-Instruct",
        "plugins": ["grpo_plugin.PromptPlugin", "grpo_plugin.RewardPlugin", "grpo_plugin.RolloutPlugin"],
        "prompts": {"train": "user/name@train"},
        "rewards": {"functions": [{"function": "rewards.arithmetic.accuracy"}]},
    } | changes
    return {key: value for key, value in values.items() if value is not None}


def mistake(**changes) -> str:
    with pytest.raises(RecipeError) as caught:
        check(recipe(**changes))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_right_recipe_gives_its_blocks():
    checked = check(recipe(rollout={"restarts": 5}, trl={"num_generations": 4}))
    assert checked.rollout.restarts == 5
    assert checked.rewards.functions[0].weight == 1.0
    assert checked.validation is None
    assert checked.uses_vllm and checked.serves


def test_vllm_can_be_turned_off_or_be_elsewhere():
    assert not check(recipe(trl={"use_vllm": False})).uses_vllm
    elsewhere = check(recipe(rollout={"url": "http://host:8000"}))
    assert elsewhere.uses_vllm and not elsewhere.serves


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"plugins": ["grpo_plugin.RolloutPlugn"]}, "did you mean 'grpo_plugin.RolloutPlugin'"),
        ({"plugins": ["grpo_plugn.RewardPlugin"]}, "did you mean 'grpo_plugin.RewardPlugin'"),
        ({"plugins": ["no_such_module.Plugin"]}, "'no_such_module.Plugin' cannot be imported"),
        ({"trl": {"max_completion_lenght": 4}}, "trl.max_completion_lenght: unknown key; did you mean 'max_completion"),
        ({"vllm": {"gpu_memory_utilisation": 0.5}}, "did you mean 'gpu_memory_utilization'?"),
        ({"rollout": {"restart": 1}}, "rollout.restart: unknown key; did you mean 'restarts'?"),
        ({"rolout": {"restarts": 1}}, "rolout: unknown key; did you mean 'rollout'?"),
        ({"validation": {"every": 5}}, "validation: this block needs its plugin; add grpo_plugin.ValidationPlugin"),
        ({"rewards": None}, "rewards: missing, though grpo_plugin.RewardPlugin is in `plugins`"),
        ({"rewards": None, "plugins": ["grpo_plugin.RolloutPlugin"], "prompts": None}, "the recipe names no reward"),
        ({"rl": "dpo"}, "rl: got 'dpo'"),
        ({"base_model": None}, "base_model: missing"),
        ({"base_model": "./no/such/folder"}, "base_model: no folder './no/such/folder'"),
        ({"deepspeed": "no/zero3.json"}, "deepspeed: no file 'no/zero3.json'"),
        ({"prompts": {"train": "user/name@train", "streaming": True}}, "prompts.streaming: true reads rows without"),
        ({"rollout": {"python": "no/python"}}, "rollout.python: no interpreter at 'no/python'"),
    ],
)
def test_mistakes_are_one_sentence_with_a_remedy(changes, expected):
    assert expected in mistake(**changes)


def test_axolotl_plugins_and_keys_pass():
    check(recipe(plugins=[*recipe()["plugins"], "axolotl.integrations.liger.LigerPlugin"], learning_rate=1e-5))
    assert {"beta", "num_generations", "generation_kwargs"} <= axolotl_keys("trl")
    assert "tensor_parallel_size" in axolotl_keys("vllm")
    assert "learning_rate" in axolotl_keys("")


def test_is_ours_also_when_everything_is_misspelt():
    assert is_ours({"plugins": ["grpo_plugn.X"]})
    assert is_ours({"rollout": {}})
    assert not is_ours({"plugins": ["axolotl.integrations.liger.LigerPlugin"], "datasets": []})


def test_read_applies_overrides_and_knows_where_it_came_from(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text("output_dir: a\ntrl: {beta: 0.1}\n")
    values = read(path, {"output_dir": "b", "trl.num_generations": 4})
    assert values["output_dir"] == "b"
    assert values["trl"] == {"beta": 0.1, "num_generations": 4}
    assert values["axolotl_config_path"] == str(path)


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [1\n"])
def test_a_recipe_that_is_no_mapping_is_one_sentence(tmp_path, text):
    path = tmp_path / "r.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError) as caught:
        read(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
