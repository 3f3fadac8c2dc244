"""Which files of this machine a recipe needs elsewhere."""

import sys
from pathlib import Path

import pytest

from grpo_plugin.cloud.files import needed, package_parts
from grpo_plugin.errors import RecipeError
from grpo_plugin.recipe import parse, read

RECIPE = """
base: [shared/one.yaml, shared/two.yaml]
base_model: {model}
plugins: [grpo_plugin.PromptPlugin, grpo_plugin.RewardPlugin, grpo_plugin.AlgorithmPlugin]
prompts: {{train: {train}}}
rewards: {{functions: [{{function: {function}}}]}}
algorithm: {{}}
trl: {{num_generations: 4}}
deepspeed: zero.json
output_dir: outputs/r
"""
PRESENT = {
    "recipes/shared/one.yaml": "{base: deeper.yaml, micro_batch_size: 4}",
    "recipes/shared/deeper.yaml": "{learning_rate: 0.1}",
    "recipes/shared/two.yaml": "{seed: 1}",
    "zero.json": "{}",
    "data/a.jsonl": "{}",
    "data/b.jsonl": "{}",
    "outputs/sft/config.json": "{}",
    "outputs/sft/model.safetensors": "weights",
    "outputs/r/config.json": "{}",
    "judge/main.py": "",
    "judge/words.txt": "",
    "judge/.cache/old": "",
    "judge/__pycache__/main.pyc": "",
    "lone/reward.py": "",
    "lone/beside.py": "",
    "lone/notes.txt": "",
    ".env": "KEY=1",
    ".venv/pyvenv.cfg": "",
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in PRESENT.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def recipe(**values: str):
    filled = {"model": "user/model", "train": "user/data@train", "function": "user/judge", **values}
    Path("recipes/r.yaml").write_text(RECIPE.format(**filled))
    return parse(read("recipes/r.yaml"))


ALWAYS = ["recipes/r.yaml", "recipes/shared/deeper.yaml", "recipes/shared/one.yaml", "recipes/shared/two.yaml"]


def paths(*more: str, **values: str) -> list[str]:
    """Paths of the parts, without those that every recipe here has."""
    found = [part.path for part in needed(recipe(**values), more)]
    assert set(ALWAYS) | {"zero.json"} <= set(found)
    return [path for path in found if path not in {*ALWAYS, "zero.json"}]


def test_a_recipe_travels_with_its_bases_and_the_files_it_names():
    assert paths() == []


@pytest.mark.parametrize(
    ("train", "expected"),
    [
        ("data/a.jsonl", ["data/a.jsonl"]),
        ("data", ["data/a.jsonl", "data/b.jsonl"]),
        ("data/*.jsonl", ["data/a.jsonl", "data/b.jsonl"]),
        ("[data/b.jsonl, user/data@train]", ["data/b.jsonl"]),
    ],
)
def test_local_data_travels(train, expected):
    assert paths(train=train) == expected


def test_a_model_travels_even_from_outputs():
    assert paths(model="outputs/sft") == ["outputs/sft"]
    (part,) = [part for part in needed(recipe(model="outputs/sft")) if part.path == "outputs/sft"]
    assert part.files() == [Path("config.json"), Path("model.safetensors")]
    assert part.size == len("{}") + len("weights")


def test_a_module_travels_with_its_package_and_a_file_with_the_modules_beside_it():
    assert paths(function="judge.main.score") == ["judge"]
    (part,) = [part for part in needed(recipe(function="judge.main.score")) if part.path == "judge"]
    assert part.files() == [Path("main.py"), Path("words.txt")]
    assert paths(function="lone/reward.py:score") == ["lone/beside.py", "lone/reward.py"]


def test_more_files_can_be_named():
    assert paths("lone/notes.txt", "data") == ["data", "lone/notes.txt"]
    assert paths("data", train="data/a.jsonl") == ["data"]
    with pytest.raises(RecipeError, match=r"files: 'nothing' is not in .*; check the path"):
        needed(recipe(), ["nothing"])


def test_a_path_of_this_machine_alone_is_refused(here):
    with pytest.raises(RecipeError, match=r"train: .*a.jsonl' is a path of this machine alone"):
        needed(recipe(train=str(here / "data/a.jsonl")))
    with pytest.raises(RecipeError, match=r"base_model: .* is a path of this machine alone; name it relative"):
        needed(recipe(model=str(here / "outputs/sft")))


def test_a_file_outside_of_the_working_directory_is_refused(here, monkeypatch):
    recipe()
    (here / "work").mkdir()
    monkeypatch.chdir(here / "work")
    with pytest.raises(RecipeError, match="outside of the working directory, of which alone files travel; start"):
        needed(parse(read("../recipes/r.yaml")))


def test_the_package_travels_and_rewards_where_there_are_none_of_ones_own(here):
    assert [part.path for part in package_parts(recipe())] == ["grpo_plugin"]
    named = recipe(function="rewards.math.accuracy")
    assert [part.path for part in package_parts(named)] == ["grpo_plugin", "rewards"]
    (here / "rewards").mkdir()
    (here / "rewards/math.py").write_text("")
    assert [part.path for part in package_parts(named)] == ["grpo_plugin"]


def test_tools_travel_like_rewards(here):
    named = recipe(function="environments.calculator.calculate")
    assert [part.path for part in package_parts(named)] == ["grpo_plugin", "environments"]


def test_the_quickstart_makes_its_files_where_it_runs(monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[3])
    found = {part.path for part in needed(parse(read("recipes/quickstart.yaml")))}
    assert not [path for path in found if "python" in path]
    assert "recipes/quickstart.yaml" in found and not [path for path in found if path.startswith("outputs")]


def test_the_interpreter_of_vllm_stays(here):
    """It is a link into an environment of this machine, and there of that one."""
    (here / ".venv-vllm/bin").mkdir(parents=True)
    (here / ".venv-vllm/bin/python").symlink_to(sys.executable)
    text = RECIPE.format(model="user/model", train="user/data@train", function="user/judge")
    text = text.replace("grpo_plugin.AlgorithmPlugin]", "grpo_plugin.AlgorithmPlugin, grpo_plugin.RolloutPlugin]")
    Path("recipes/r.yaml").write_text(text + "rollout: {python: .venv-vllm/bin/python}\n")
    assert [part.path for part in needed(parse(read("recipes/r.yaml")))] == [*ALWAYS, "zero.json"]


def test_the_tasks_of_the_quickstart_travel(here):
    """They lie in `rewards` and `environments`, which its recipe need not name."""
    quickstart = parse(read(Path(__file__).parents[3] / "recipes/quickstart.yaml"))
    assert [part.path for part in package_parts(quickstart)] == ["grpo_plugin", "rewards", "environments"]
