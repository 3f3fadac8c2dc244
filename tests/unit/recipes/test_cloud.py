"""The files of cloud/: read by what they are for, as far as that can be had without an account."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from grpo_plugin.cloud import modal_run
from grpo_plugin.launcher.arguments import read_train
from grpo_plugin.planning.machine import Machine
from grpo_plugin.planning.plan import Plan
from grpo_plugin.recipe import check, parse, read

ROOT = Path(__file__).parents[3]
CLOUD = ROOT / "cloud"


def test_modals_file_runs_the_recipe_it_names(monkeypatch):
    monkeypatch.chdir(ROOT)
    config, recipe = modal_run.read("cloud/modal.yaml"), check(read("recipes/gsm8k.yaml"))
    modal_run.check_fit(recipe, config, 1)
    job = modal_run.job_of(recipe, config, ["--num-processes=1"], {})
    assert (job.gpu, job.memory, job.timeout) == ("H100:2", 256 * 1024, 86400)
    assert job.command[-1] == "--output-dir=/workspace/data/outputs/gsm8k"
    assert [remote for _, remote in job.mounts] == [
        "/workspace/package/grpo_plugin",
        *(f"/workspace/run/{path}" for path in ("recipes/gsm8k.yaml", "recipes/prompts/gsm8k.jinja", "rewards")),
    ]


def test_modal_installs_what_this_package_needs():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (command,) = yaml.safe_load((CLOUD / "modal.yaml").read_text())["dockerfile_commands"]
    for requirement in [*project["dependencies"], *project["optional-dependencies"]["vllm"]]:
        assert requirement in command.replace("'", ""), f"add {requirement} to dockerfile_commands of cloud/modal.yaml"


@pytest.mark.parametrize("name", ["ray", "flexai"])
def test_those_that_are_recipes_stand_on_one(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    recipe = check(read(CLOUD / f"{name}.yaml"))
    assert recipe.values["base_model"] == "Qwen/Qwen2.5-1.5B-Instruct"
    assert recipe.uses_vllm
    assert recipe.serves == (name != "ray")


def submitted(tmp_path: Path, nodes: int, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run the batch script with stand-ins for Slurm's commands and for axolotl, which print what they were given."""
    stand_ins = {
        "srun": 'for rank in $(seq 0 $((SLURM_NNODES - 1))); do SLURM_NODEID=$rank "$@" || exit; done',
        "scontrol": "printf 'node-a\\nnode-b\\n'",
        "axolotl": 'echo "$SRUN_CPUS_PER_TASK:" "$@"; [ "$1 $3" != "grpo recipes/wrong.yaml" ] || exit 2',
    }
    for name, body in stand_ins.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{body}\n")
        (tmp_path / name).chmod(0o755)
    slurm = {
        "SLURM_NNODES": str(nodes),
        "SLURM_JOB_NODELIST": "node-[a-b]",
        "SLURM_JOB_ID": "4321",
        "SLURM_CPUS_PER_TASK": "64",
        "SLURM_GPUS_ON_NODE": "8",
    }
    return subprocess.run(
        ["bash", str(CLOUD / "slurm.sbatch"), *words],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", **slurm, **more},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )


def test_slurm_on_one_node(tmp_path):
    done = submitted(tmp_path, 1, "recipes/r.yaml", "7", "--learning-rate=1e-6", "--base-model", "a b")
    assert done.returncode == 0, done.stderr
    words = "--auto-resume-from-checkpoints --learning-rate=1e-6 --base-model a b"
    assert done.stdout.splitlines() == [
        f"64: grpo plan recipes/r.yaml --gpus=8 --nodes=1 --num-processes=7 {words}",
        f"64: train --num-processes=7 recipes/r.yaml {words}",
    ]


def test_slurm_on_two_nodes(tmp_path):
    done = submitted(tmp_path, 2, "recipes/r.yaml", "6", "--micro-batch-size=2")
    assert done.returncode == 0, done.stderr
    plan, first, second = done.stdout.splitlines()
    assert plan == (
        "64: grpo plan recipes/r.yaml --gpus=8 --nodes=2 --num-processes=12 "
        "--auto-resume-from-checkpoints --micro-batch-size=2"
    )
    assert first == (
        "64: train --num-processes=12 --num-machines=2 --machine-rank=0 --main-process-ip=node-a "
        "--main-process-port=24321 recipes/r.yaml --auto-resume-from-checkpoints --micro-batch-size=2"
    )
    assert second == first.replace("--machine-rank=0", "--machine-rank=1")


def test_slurm_starts_nothing_that_plan_refuses(tmp_path):
    done = submitted(tmp_path, 1, "recipes/wrong.yaml", "7")
    assert done.returncode == 2 and "train --num" not in done.stdout


def test_slurm_takes_the_environment_that_is_named(tmp_path):
    other = tmp_path / "other/bin"
    other.mkdir(parents=True)
    (other / "axolotl").write_text("#!/bin/bash\necho other\n")
    (other / "axolotl").chmod(0o755)
    assert submitted(tmp_path, 1, "r.yaml", "7", GRPO_ENV=str(other.parent)).stdout == "other\nother\n"


def test_slurm_asks_for_what_it_needs(tmp_path):
    missing = submitted(tmp_path, 1, "recipes/r.yaml")
    assert missing.returncode != 0 and "trainer processes per node" in missing.stderr


SUBMITTED = re.findall(
    r"^#     sbatch (?:--nodes=(\d) )?cloud/slurm.sbatch (\S+) (\d+)(.*)$", (CLOUD / "slurm.sbatch").read_text(), re.M
)


@pytest.mark.parametrize(("nodes", "recipe", "processes", "overrides"), SUBMITTED)
def test_the_batches_of_slurms_examples_divide(nodes, recipe, processes, overrides, monkeypatch):
    monkeypatch.chdir(ROOT)
    arguments = read_train(["train", recipe, *overrides.split()])
    assert arguments is not None and arguments.mistake is None
    machine = Machine(8, int(processes) * int(nodes or 1), int(nodes or 1))
    plan = Plan(parse(read(recipe, arguments.overrides)), machine)
    assert [problem for problem in plan.problems if "was not found" not in problem] == []


def test_slurms_script_has_both_examples():
    assert [nodes for nodes, *_ in SUBMITTED] == ["", "2"]
