"""Every shipped recipe, in a workspace laid out as a clone: Axolotl's schema, our blocks, its plan, its first lines."""

import importlib
import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest

from grpo_plugin.config.generated import is_generated
from grpo_plugin.planning.machine import Machine
from grpo_plugin.planning.plan import Plan
from grpo_plugin.planning.plan_text import requirement
from grpo_plugin.planning.plan_warnings import warnings_of
from grpo_plugin.planning.problems import serving_gpus
from grpo_plugin.recipe import Recipe, check, read
from tests.gym import need_reasoning_gym

ROOT = Path(__file__).parents[3]
QUICKSTARTS = (
    "quickstart.yaml",
    "calculator.yaml",
    "guessing.yaml",
)  # make their own models, and are tested by being trained
FOLDERS = ("*.yaml", "distributed/*.yaml")
FILES = [path for pattern in FOLDERS for path in (ROOT / "recipes").glob(pattern) if path.name not in QUICKSTARTS]
NAMES = sorted(path.relative_to(ROOT / "recipes").as_posix() for path in FILES)
WITHOUT_GPU = ("smollm2_cpu.yaml", "smollm2_cpu_lora.yaml")
LAPTOP = 16 * 2**30  # bytes of memory
PLUGINS = ("Prompt", "Environment", "Reward", "Algorithm", "Rollout", "Validation")
USERS_DATA = "data/raiden.jsonl"  # what a user brings
PROFILE = {"prompt": "Who are you?", "answer": "Li Bai", "character_profile": "Li Bai, a poet."}


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    if getattr(request.node, "callspec", None) and request.node.callspec.params.get("name") == "reasoning_gym.yaml":
        need_reasoning_gym()
    for folder in ("recipes", "rewards"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    (tmp_path / "data").mkdir()
    interpreter = tmp_path / ".venv-vllm" / "bin" / "python"  # of recipes without a GPU; a stand-in that is not started
    interpreter.parent.mkdir(parents=True)
    interpreter.touch(mode=0o755)
    (tmp_path / USERS_DATA).write_text(json.dumps(PROFILE) + "\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path


def processes(name: str) -> int:
    """As the command in the recipe's first lines has it."""
    found = re.search(r"axolotl train --num-processes=(\d+) recipes/" + re.escape(name), text(name))
    assert found, f"{name} does not say how it is started"
    return int(found[1])


def text(name: str) -> str:
    return (ROOT / "recipes" / name).read_text()


def planned(recipe: Recipe, name: str) -> Plan:
    trainers = processes(name)
    if name in WITHOUT_GPU:
        return Plan(recipe, Machine(0, trainers, memory=LAPTOP))
    return Plan(recipe, Machine(trainers + serving_gpus(recipe), trainers))


def validated(values: dict[str, Any], ranks: int) -> dict[str, Any]:
    """What Axolotl makes of the recipe on a machine with GPUs, after our plugins have been registered."""
    from axolotl.integrations.base import PluginManager
    from axolotl.utils.config import validate_config
    from axolotl.utils.dict import DictDefault

    for plugin in PLUGINS:
        PluginManager.get_instance().register(f"grpo_plugin.{plugin}Plugin")
    registered = {"rl": "grpo", "datasets": [{"path": "ours"}], "trl": {**values["trl"], "use_vllm": True}}
    gpu = {"bf16": True, "fp8": True, "tf32": True, "n_gpu": ranks, "compute_capability": "sm_90"}
    made = validate_config(DictDefault({**values, **registered}), gpu, {"torch_version": "2.11.0"})
    return dict(made.to_dict())


@pytest.mark.parametrize("name", NAMES)
def test_axolotl_and_our_blocks_take_it(name, workspace):
    values = read(f"recipes/{name}")
    check(values)
    made = validated(values, processes(name))
    lost = [key for key, value in values.items() if value is not None and key not in made]
    assert not lost, "Axolotl drops what it does not know"


@pytest.mark.parametrize("name", NAMES)
def test_its_plan_has_neither_problem_nor_warning_on_the_machine_it_names(name, workspace):
    recipe = check(read(f"recipes/{name}"))
    plan = planned(recipe, name)
    assert plan.problems == []
    assert f"# Needs {requirement(plan)}\n" in text(name), requirement(plan)
    if name in WITHOUT_GPU:
        assert warnings_of(plan) == []
        return
    assert plan.card is not None
    fitting = Plan(recipe, Machine(plan.machine.gpus, plan.machine.num_processes, gpu_memory=plan.card * 2**30))
    assert warnings_of(fitting) == []


@pytest.mark.parametrize("name", NAMES)
def test_it_stands_on_its_own_feet(name, workspace):
    """Its source is named; it keeps what it writes to itself; its template is there."""
    recipe = check(read(f"recipes/{name}"))
    assert "# Source" in text(name)
    assert str(recipe.output_dir) == f"outputs/{Path(name).stem}"
    assert recipe.prompts is not None
    template = str(recipe.prompts.template)
    assert "{{" in template or Path(template).is_file()


@pytest.mark.parametrize("name", NAMES)
def test_its_rewards_ask_for_columns_that_it_has(name, workspace):
    recipe = check(read(f"recipes/{name}"))
    assert recipe.rewards is not None and recipe.prompts is not None
    has = {"completions", "completion_ids"} | ({"answer"} if recipe.prompts.answer_key else set())
    if all(is_generated(source.source) for source in recipe.prompts.train):
        has |= {"task", "reasoning_gym"}
    for one in recipe.rewards.functions:
        module, _, function = one.function.rpartition(".")
        parameters = inspect.signature(getattr(importlib.import_module(module), function)).parameters.values()
        needed = {p.name for p in parameters if p.default is p.empty and p.kind is not p.VAR_KEYWORD}
        assert needed <= has | one.kwargs.keys(), one.function
        assert one.kwargs.keys() <= {p.name for p in parameters}, one.function


def test_every_shared_part_is_used():
    recipes = "".join(text(name) for name in [*NAMES, *(f"shared/{path.name}" for path in shared())])
    for path in shared():
        assert str(path.relative_to(ROOT)) in recipes, f"{path.name} is read by no recipe"


def shared() -> list[Path]:
    return sorted((ROOT / "recipes" / "shared").glob("*.yaml"))


def test_our_batch_problems_are_axolotls_and_trls(workspace):
    """Where we find no problem with the batch, Axolotl's schema has none, and where Axolotl refuses, so do we."""
    from grpo_plugin.recipe.batch_arithmetic import Batch, batch_problems

    values = read("recipes/gsm8k.yaml")
    for ranks, micro, accumulation, generations, rollout in (
        (1, 4, 4, 16, None),
        (1, 4, 3, 16, None),
        (4, 4, 4, 16, None),
        (4, 4, 4, 16, 64),
        (4, 4, 4, 16, 72),
        (7, 1, 90, 5, None),
        (7, 5, 1, 5, None),
    ):
        changed = values | {"micro_batch_size": micro, "gradient_accumulation_steps": accumulation}
        changed["trl"] = values["trl"] | {"num_generations": generations, "generation_batch_size": rollout}
        ours = bool(batch_problems(Batch(ranks, micro, accumulation, generations, rollout)))
        try:
            validated(changed, ranks)
            theirs = False
        except ValueError:
            theirs = True
        assert ours == theirs, (ranks, micro, accumulation, generations, rollout)
