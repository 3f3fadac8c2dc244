import pytest

from grpo_plugin.algorithms.settings import of_recipe
from grpo_plugin.config.axolotl_values import AxolotlValues, TrlValues, VllmValues
from grpo_plugin.errors import RecipeError
from grpo_plugin.recipe import check, read
from grpo_plugin.recipe.axolotl_keys import AXOLOTL_BLOCKS, TRL_OPTIONS, axolotl_keys
from grpo_plugin.recipe.plugin_names import is_ours
from grpo_plugin.trainer.trl_arguments import forwarded

PLUGINS = ["grpo_plugin.PromptPlugin", "grpo_plugin.RewardPlugin", "grpo_plugin.RolloutPlugin"]


def recipe(**changes):
    values = {
        "base_model": "Qwen/Qwen2.5-1.5B-Instruct",
        "plugins": PLUGINS,
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


def test_rl_gdpo_is_the_estimator_of_that_name():
    found = check(recipe(rl="gdpo"))
    assert of_recipe(found.algorithm, found.trl).preset.advantage == "gdpo"
    block = {"plugins": [*PLUGINS, "grpo_plugin.AlgorithmPlugin"], "algorithm": {"name": "gdpo"}}
    assert check(recipe(rl="gdpo", **block)).trl == {}


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
        (
            {"rl": "gdpo", "plugins": [*PLUGINS, "grpo_plugin.AlgorithmPlugin"], "algorithm": {"name": "dapo"}},
            "rl: 'gdpo' contradicts advantage 'grpo'; set rl: grpo, or algorithm.advantage: gdpo.",
        ),
        (
            {"plugins": [*PLUGINS, "grpo_plugin.AlgorithmPlugin"], "algorithm": {"name": "gprp"}},
            "algorithm.name: unknown value 'gprp'; did you mean 'grpo'?",
        ),
        *(
            (
                {
                    "plugins": [*PLUGINS, "grpo_plugin.AlgorithmPlugin"],
                    "algorithm": {"name": name, "kl_estimator": "full", "kl_coef": 0.1},
                },
                "kl_estimator",
            )
            for name in ("rloo", "remax")
        ),
        ({"base_model": None}, "base_model: missing"),
        ({"base_model": "./no/such/folder"}, "base_model: no folder './no/such/folder'"),
        ({"deepspeed": "no/zero3.json"}, "deepspeed: no file 'no/zero3.json'"),
        ({"prompts": {"train": "user/name@train", "streaming": True}}, "prompts.streaming: true reads rows without"),
        ({"rollout": {"python": "no/python"}}, "rollout.python: no interpreter at 'no/python'"),
    ],
)
def test_mistakes_are_one_sentence_with_a_remedy(changes, expected):
    assert expected in mistake(**changes)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"trl": {"num_generations": "two"}}, "trl.num_generations: expected a whole number of 1 or more, got 'two'."),
        ({"trl": {"num_generations": 0}}, "trl.num_generations: expected a whole number of 1 or more, got 0."),
        ({"trl": {"max_completion_length": "long"}}, "trl.max_completion_length: expected a whole number of 1 or more"),
        ({"trl": 3}, "trl: expected keys and values, got 3."),
        ({"vllm": {"tensor_parallel_size": "two"}}, "vllm.tensor_parallel_size: expected a whole number of 1 or more"),
        ({"vllm": {"tensor_parallel_size": 0}}, "vllm.tensor_parallel_size: expected a whole number of 1 or more"),
        ({"vllm": {"gpu_memory_utilization": 3}}, "expected a number over 0 and up to 1, got 3."),
        ({"micro_batch_size": "abc"}, "micro_batch_size: expected a whole number of 1 or more, got 'abc'."),
        ({"micro_batch_size": 0}, "micro_batch_size: expected a whole number of 1 or more, got 0."),
        ({"micro_batch_size": 2.5}, "micro_batch_size: expected a whole number of 1 or more, got 2.5."),
        ({"micro_batch_size": True}, "micro_batch_size: expected a whole number of 1 or more, got True."),
        ({"num_epochs": "abc"}, "num_epochs: expected a number over 0, got 'abc'."),
        ({"num_epochs": float("inf")}, "num_epochs: expected a number over 0, got inf."),
        ({"max_steps": "x"}, "max_steps: expected a whole number, got 'x'."),
        ({"learning_rate": "fast"}, "learning_rate: expected a number of 0 or more, got 'fast'."),
        ({"save_total_limit": "many"}, "save_total_limit: expected a whole number of 0 or more, got 'many'."),
        ({"lora_r": "x"}, "lora_r: expected a whole number of 1 or more, got 'x'."),
        ({"fsdp_config": "yes"}, "fsdp_config: expected keys and values, got 'yes'."),
        (
            {"accelerator_config": {"gradient_accumulation_kwargs": 3}},
            "gradient_accumulation_kwargs: expected keys and",
        ),
        (
            {"deepspeed": {"zero_optimization": {"stage": "three"}}},
            "deepspeed.zero_optimization.stage: expected a whole",
        ),
        ({"prompts": [1]}, "prompts: expected keys and values, got [1]"),
        ({"plugins": 3}, "plugins: expected a list of plugins, got 3."),
        ({"output_dir": 3}, "output_dir: expected text, got 3."),
    ],
)
def test_a_value_of_the_wrong_type_or_size_is_one_sentence(changes, expected):
    assert expected in mistake(**changes)


def test_numbers_may_be_written_as_text_and_are_numbers_then():
    values = {"learning_rate": "1e-6", "micro_batch_size": "4", "vllm": {"tensor_parallel_size": 2.0}, "lora_r": None}
    written = recipe(**values, trl={"num_generations": "4"})
    checked = check(written)
    assert (checked.values["learning_rate"], checked.values["micro_batch_size"]) == (1e-6, 4)
    assert repr(checked.vllm["tensor_parallel_size"]) == "2" and checked.trl["num_generations"] == 4
    assert written["trl"]["num_generations"] == "4", "the caller's values stay as they are"


def test_every_key_that_is_checked_is_axolotls():
    assert set(AxolotlValues.model_fields) <= axolotl_keys("") | AXOLOTL_BLOCKS
    assert set(TrlValues.model_fields) <= axolotl_keys("trl") | TRL_OPTIONS
    assert set(VllmValues.model_fields) <= axolotl_keys("vllm")


def test_options_of_trl_that_axolotl_lacks_are_taken_and_checked():
    assert not TRL_OPTIONS & axolotl_keys("trl"), "Axolotl knows the key now: remove it"
    given = {"cast_lm_head_to_fp32": True, "router_aux_loss_coef": "1e-3", "shuffle_dataset": False}
    checked = check(recipe(trl=given))
    assert forwarded(checked.trl) == given | {"router_aux_loss_coef": 0.001}
    with pytest.raises(RecipeError, match=r"trl.router_aux_loss_coef: expected a number of 0 or more, got -1"):
        check(recipe(trl={"router_aux_loss_coef": -1}))


def test_rewards_may_stand_under_trls_keys():
    plugins = [name for name in recipe()["plugins"] if name != "grpo_plugin.RewardPlugin"]
    trl = {"reward_funcs": ["rewards.math.accuracy", "rewards.math.format"], "reward_weights": [0.9, 0.1]}
    without = {key: value for key, value in recipe(plugins=plugins, trl=trl).items() if key != "rewards"}
    functions = check(without).rewards.functions
    assert [(one.function, one.weight) for one in functions] == [
        ("rewards.math.accuracy", 0.9),
        ("rewards.math.format", 0.1),
    ]
    trl["reward_weights"] = [1.0]
    with pytest.raises(RecipeError, match=r"trl.reward_weights: 1 weights for the 2 functions"):
        check(without)


def test_axolotl_plugins_and_keys_pass():
    check(recipe(plugins=[*recipe()["plugins"], "axolotl.integrations.liger.LigerPlugin"], learning_rate=1e-5))
    assert {"beta", "num_generations", "generation_kwargs"} <= axolotl_keys("trl")
    assert "tensor_parallel_size" in axolotl_keys("vllm")
    assert "learning_rate" in axolotl_keys("")


def test_is_ours_also_when_everything_is_misspelt():
    assert is_ours({"plugins": ["grpo_plugn.X"]})
    assert is_ours({"rollout": {}})
    assert is_ours({"plugins": "grpo_plugin.RewardPlugin"})
    assert not is_ours({"plugins": 3})
    assert not is_ours({"plugins": ["axolotl.integrations.liger.LigerPlugin"], "datasets": []})


def test_read_applies_overrides_and_knows_where_it_came_from(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text("output_dir: a\ntrl: {beta: 0.1}\n")
    values = read(path, {"output_dir": "b", "trl.num_generations": 4})
    assert values["output_dir"] == "b"
    assert values["trl"] == {"beta": 0.1, "num_generations": 4}
    assert values["axolotl_config_path"] == str(path)


def test_the_keys_known_are_those_of_axolotls_schema():
    from axolotl.utils.schemas.config import AxolotlInputConfig

    assert set(AxolotlInputConfig.model_fields) == axolotl_keys("") | AXOLOTL_BLOCKS


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("learning_rat: 3", "learning_rat: unknown key; did you mean 'learning_rate'?"),
        ("my_own_notes: 3", "my_own_notes: unknown key; remove it, as Axolotl would drop it without an error."),
    ],
)
def test_a_key_that_axolotl_would_drop_is_one_sentence(tmp_path, line, expected):
    path = tmp_path / "r.yaml"
    ours = "base_model: user/model\nfsdp_config: null\nspecial_tokens: {pad_token: x}\n"
    path.write_text(f"{ours}plugins: [grpo_plugin.RewardPlugin]\n{line}\n")
    with pytest.raises(RecipeError) as caught:
        read(path)
    assert str(caught.value) == expected
    path.write_text(f"{ours}plugins: [grpo_plugin.RewardPlugin, axolotl.integrations.liger.LigerPlugin]\n{line}\n")
    assert read(path)["fsdp_config"] is None


def test_an_override_of_a_block_that_is_none_is_one_sentence(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text("trl: 3\n")
    with pytest.raises(RecipeError, match=r"^trl: expected keys and values, got 3\.$"):
        read(path, {"trl.beta": 0.1})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "no file"),
        ('{"zero_optimization": ', "is not JSON"),
        ("[1]", "holds no keys and values, but [1]"),
        ('{"zero_optimization": 3}', "deepspeed.zero_optimization: expected keys and values, got 3."),
    ],
)
def test_a_deepspeed_file_that_is_none(tmp_path, text, expected):
    path = tmp_path / "zero.json"
    if text is not None:
        path.write_text(text)
    assert expected in mistake(deepspeed=str(path))


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [1\n"])
def test_a_recipe_that_is_no_mapping_is_one_sentence(tmp_path, text):
    path = tmp_path / "r.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError) as caught:
        read(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
