"""Several machines, and the command in the first lines of the recipe that uses them."""

import re
import shlex
from pathlib import Path

import pytest

from grpo_plugin.launcher.arguments import read_train
from grpo_plugin.planning.machine import Machine
from grpo_plugin.planning.plan import Plan
from grpo_plugin.planning.plan_warnings import warnings_of
from grpo_plugin.planning.problems import problems
from grpo_plugin.recipe import parse, read

ROOT = Path(__file__).parents[3]


def test_machines_share_the_processes_evenly(recipe):
    plan = Plan(recipe(vllm={"tensor_parallel_size": 2}), Machine(gpus=4, num_processes=4, nodes=2))
    assert plan.problems == [] and plan.batch.processes == 4
    uneven = Plan(recipe(), Machine(gpus=4, num_processes=3, nodes=2))
    assert "each of 2 machines needs the same; use a multiple of 2" in uneven.problems[0]


def test_only_the_first_machine_gives_gpus_to_vllm(recipe):
    """Three of four train; the second machine may show three or all four."""
    served = recipe(trl={"num_generations": 4, "max_completion_length": 28, "generation_batch_size": 96})
    assert problems(served, Machine(4, 6, nodes=2)) == []
    for gpus in (3, 4):
        assert problems(served, Machine(gpus, 6, nodes=2, rank=1)) == []
    assert "only 2 GPU(s) are visible" in problems(served, Machine(2, 6, nodes=2, rank=1))[0]


def two_machines() -> list[str]:
    """The second command in raiden's first lines, as words."""
    header = (ROOT / "recipes" / "raiden.yaml").read_text().partition("\nbase:")[0]
    lines = re.sub(r"\\\n#", " ", header).splitlines()
    (command,) = [line.removeprefix("#").strip() for line in lines if "--num-machines=2" in line]
    return shlex.split(command)[1:]


@pytest.mark.parametrize("rank", [0, 1])
def test_raidens_two_machines_train_what_one_does(monkeypatch, tmp_path, rank):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    arguments = read_train(two_machines())
    assert arguments is not None and arguments.mistake is None
    assert None not in (arguments.machine_rank, arguments.main_process_ip, arguments.main_process_port)
    machine = Machine(8, arguments.num_processes, arguments.num_machines, gpu_memory=48 * 2**30, rank=rank)
    two = Plan(parse(read(arguments.recipe, arguments.overrides)), machine)
    one = Plan(parse(read(arguments.recipe)), Machine(8, 6))
    assert [problem for problem in two.problems if not problem.startswith("prompts.train: ")] == []
    assert [sentence.partition(";")[0] for sentence in warnings_of(two)] == ["2 of 16 GPUs have nothing to do"]
    assert two.batch.processes == 12
    assert (two.batch.per_step, two.batch.per_rollout) == (one.batch.per_step, one.batch.per_rollout)
