import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from grpo_plugin.cli.plan import plan as command
from grpo_plugin.errors import RecipeError
from grpo_plugin.planning.machine import GIB, Machine
from grpo_plugin.planning.plan import Plan
from grpo_plugin.planning.plan_text import report, requirement
from grpo_plugin.planning.plan_warnings import warnings_of
from grpo_plugin.planning.problems import problems
from grpo_plugin.planning.row_count import count_rows
from grpo_plugin.recipe import check


def test_a_recipe_that_fits_has_no_problem(recipe):
    for machine in (Machine(2, 1), Machine(2)):
        assert problems(recipe(), machine) == []
    for machine in (Machine(0), Machine(0, 1), Machine(0, 2)):
        assert problems(recipe(bf16=False), machine) == []


@pytest.mark.parametrize(
    ("changes", "gpus", "processes", "expected"),
    [
        ({}, 8, 8, "--num-processes=8: of 8 visible GPU(s) the last 1 serve vLLM and 7 remain"),
        ({"bf16": None}, 0, 1, "bf16: missing, and without a GPU Axolotl would take float16"),
        ({}, 0, 1, "bf16: True needs a GPU, and there is none; set bf16: false (--gpus=N plans for a machine"),
        ({"fp16": True, "bf16": False}, 0, 1, "fp16: True needs a GPU"),
        ({"flash_attention": True}, 0, 1, "flash_attention: true needs a GPU"),
        ({"attn_implementation": "flash_attention_2"}, 0, 1, "attn_implementation: 'flash_attention_2' needs a GPU"),
        ({"fsdp_config": {"reshard_after_forward": True}}, 0, 1, "fsdp_config: divides the model over processes"),
        ({"deepspeed": {"zero_optimization": {"stage": 2}}}, 0, 2, "deepspeed: there is no GPU, and where it"),
        ({}, 1, 1, "rollout.gpus: vLLM takes 1 of the 1 visible GPU(s), which leaves none to train"),
        ({"trl": {"num_generations": 5}}, 2, 1, "= 16 completions per step are not whole groups"),
        ({"vllm": {"tensor_parallel_size": 3}}, 4, 1, "3 does not divide the model's 4 attention heads"),
        ({"vllm": {"max_model_len": 100}}, 2, 1, "vllm.max_model_len: 100 tokens cannot hold prompts.max_length 100"),
        ({"vllm": {"max_model_len": 600}}, 2, 1, "600 tokens are over the model's 512 positions, which vLLM refuses"),
        ({"prompts": {"train": "user/data@train", "max_length": 500}}, 2, 1, "prompts.max_length: sequences of 528"),
        (
            {"trl": {"num_generations": 4, "max_completion_length": 500, "use_vllm": False}},
            2,
            1,
            "600 tokens are over the",
        ),
        ({"adapter": "lora", "lora_r": 999, "rollout": {"lora": "adapter"}}, 2, 1, "lora_r: 999 is over vLLM's"),
    ],
)
def test_what_cannot_work_is_one_sentence(recipe, changes, gpus, processes, expected):
    found = problems(recipe(**changes), Machine(gpus, processes))
    assert any(expected in problem for problem in found), found
    assert not any("\n" in problem for problem in found)
    assert len(found) == len(set(found)), "each is said once"


def test_a_model_larger_than_the_memory_of_this_machine_is_said(recipe):
    """As an example a machine of 3 GiB; what every sequence at its limit would need is a warning alone."""
    small = Machine(0, memory=3 * GIB)
    (problem,) = problems(recipe(bf16=False), small)
    assert problem.endswith(
        "needs at least 4.0 GiB of memory (the trainer 1.0, vLLM 3.0), and this machine has 3.0; train an adapter "
        "(adapter: lora), name a smaller model, or use a machine with more memory (--gpus=N plans for a machine with "
        "N)."
    )
    (several,) = problems(recipe(bf16=False), Machine(0, 2, memory=4 * GIB))
    assert "(the trainer in 2 processes 1.5, vLLM 3.0)" in several
    assert "use fewer processes (--num-processes)" in several
    assert problems(recipe(bf16=False), Machine(0, memory=5 * GIB)) == []
    plan = Plan(recipe(bf16=False), Machine(0, 2, memory=8 * GIB))
    assert "in memory per process, with every" in report(plan) and "a cache of 1.0 GiB, libraries" in report(plan)
    (warning,) = warnings_of(Plan(recipe(bf16=False, micro_batch_size=4096), Machine(0, memory=5 * GIB)))
    assert warning.startswith("The run may need ") and "lower micro_batch_size" in warning


def test_sizes_of_the_table_refuse_nothing(recipe):
    """A model of the same name may be another."""
    of_table, small = recipe(bf16=False, base_model="someone/SmolLM2-135M-Pruned"), Machine(0, memory=5 * GIB)
    assert problems(of_table, small) == []
    (warning,) = warnings_of(Plan(of_table, small))
    assert "needs at least 7.0 GiB of memory (the trainer 3.0, vLLM 4.0, by the table of well-known shapes)" in warning


def test_on_a_cpu_there_is_no_gpu_to_speak_of(recipe):
    plan = Plan(recipe(bf16=False), Machine(0))
    assert "CUDA, NCCL, fragments" not in plan.trainer.parts and plan.training.weight_bytes == 4
    text = report(plan)
    assert "no GPU: the trainer and vLLM share the processor" in text and "per GPU" not in text
    assert "this plan is for a machine without; --gpus=N plans for one with N" in text
    assert "--gpus=N" not in report(Plan(recipe(), Machine(2)))


def test_rows_of_files_are_counted(recipe):
    assert count_rows(recipe()) == 100
    assert count_rows(recipe(prompts={"train": "hiyouga/math12k@train"})) == 12000
    assert count_rows(recipe(prompts={"train": ["hiyouga/math12k@train", "user/unknown@train"]})) is None


def test_the_report_says_it_all(recipe):
    text = report(Plan(recipe(), Machine(2, 1), rows=100))
    for line in (
        f"needs           {requirement(Plan(recipe(), Machine(2, 1)))}",
        "1 GPU(s) train, 1 for vLLM, of 2 each",
        "4 prompts × 4 completions = 16",
        "1 process(es) × micro-batches of 8 × 2 accumulated = 16 completions of 4 prompts",
        "100 prompts make 25 rollout batches, 25 optimizer steps; the run: 25 optimizer steps",
        "from its config.json",
        "activations",
        "(128 tokens) at once",
        "vllm.entrypoints.openai.api_server",
        "none; `axolotl train` would start",
    ):
        assert line in text


def test_the_requirement_is_one_sentence(recipe):
    sentence = requirement(Plan(recipe(), Machine(2, 1)))
    assert sentence.startswith("2 GPUs of 16 GiB: 1 trains (2.3 GiB each), 1 serves vLLM (at least 2.2 GiB).")


def test_a_model_that_is_not_known_here_is_said_to_be_so(recipe, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    plan = Plan(recipe(base_model="user/unknown"), Machine(2, 1))
    assert plan.trainer is None and plan.disk is None
    assert "unknown: no config.json of 'user/unknown' can be read here" in report(plan)
    assert requirement(plan) == "2 GPUs; the model's shape is not known here."


def write(recipe, tmp_path, **changes):
    values = dict(recipe(**changes).values)
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(values))
    return str(path)


def test_the_command(recipe, tmp_path):
    path = write(recipe, tmp_path)
    done = CliRunner().invoke(command, [path, "--gpus=2", "--num-processes=1"])
    assert done.exit_code == 0, done.output
    assert "100 prompts make 25 rollout batches" in done.stdout


def test_the_command_takes_axolotls_overrides_and_exits_with_2(recipe, tmp_path):
    path = write(recipe, tmp_path)
    done = CliRunner().invoke(command, [path, "--gpus=2", "--trl.num-generations=5", "--micro-batch-size=4"])
    assert done.exit_code == 2
    assert "8 completions per step are not whole groups of trl.num_generations 5" in done.stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--gpu", "4"], "--gpu: unknown option; did you mean '--gpus'?"),
        (["--learning-rat=3"], "--learning-rat: unknown option; did you mean '--learning-rate'?"),
        (["--num_processes=1"], "--num_processes: unknown option; did you mean '--num-processes'?"),
        (["--xyzzyqqq"], "unknown option; known ones are listed by `axolotl grpo plan --help` and `axolotl train"),
        (["other.yaml"], "'other.yaml': neither an option nor an option's value; remove it."),
        (["--micro-batch-size=abc"], "micro_batch_size: expected a whole number of 1 or more, got 'abc'."),
    ],
)
def test_the_command_refuses_what_it_does_not_know_in_one_sentence(recipe, tmp_path, words, expected):
    done = CliRunner().invoke(command, [write(recipe, tmp_path), *words])
    assert (done.exit_code, done.stdout) == (2, "")
    assert expected in done.stderr and done.stderr.count("\n") == 1


def test_the_command_takes_the_recipe_behind_the_options(recipe, tmp_path):
    path = write(recipe, tmp_path)
    done = CliRunner().invoke(command, ["--learning-rate", "1e-5", "--gpus", "2", "--max-steps", "-1", path])
    assert done.exit_code == 0, done.output


def test_machines_are_called_as_the_launcher_or_nodes(recipe, tmp_path):
    path = write(recipe, tmp_path)
    for name in ("--nodes", "--num-machines"):
        done = CliRunner().invoke(command, [path, "--gpus=2", f"{name}=2", "--num-processes=3"])
        assert "each of 2 machines needs the same" in done.stdout


def test_what_this_machine_lacks_is_a_problem_of_the_plan_and_stops_a_run(recipe, tmp_path):
    path = write(recipe, tmp_path)
    values = yaml.safe_load(Path(path).read_text()) | {"deepspeed": "nowhere.json", "base_model": "./nowhere"}
    Path(values["prompts"]["train"]).unlink()
    Path(path).write_text(yaml.safe_dump(values))
    done = CliRunner().invoke(command, [path, "--gpus=2", "--num-processes=1"])
    assert done.exit_code == 2
    for field in ("base_model: no folder './nowhere'", "deepspeed: no file 'nowhere.json'", "prompts.train: "):
        assert field in done.stdout
    with pytest.raises(RecipeError, match=r"^base_model: no folder './nowhere'"):
        check(values)
    (tmp_path / "half.json").write_text('{"zero_optimization": ')
    with pytest.raises(RecipeError, match=r"^deepspeed: '.*half.json' is not JSON .* correct the file"):
        check(recipe().values | {"deepspeed": str(tmp_path / "half.json"), "prompts": {"train": "user/data@train"}})


def test_a_broken_parquet_file_is_one_sentence(recipe, tmp_path):
    (tmp_path / "rows.parquet").write_bytes(b"PAR?")
    path = write(recipe, tmp_path, prompts={"train": str(tmp_path / "rows.parquet")})
    done = CliRunner().invoke(command, [path, "--gpus=2", "--num-processes=1"])
    assert done.exit_code == 2 and "rows.parquet: not a Parquet file" in done.stderr


def test_the_merged_recipe(recipe, tmp_path):
    (tmp_path / "base.yaml").write_text("seed: 7\n")
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump({**recipe().values, "base": "base.yaml"}))
    done = CliRunner().invoke(command, [str(path), "--merged"])
    merged = yaml.safe_load(done.stdout)
    assert merged["seed"] == 7 and "base" not in merged and "axolotl_config_path" not in merged


def test_planning_imports_neither_torch_nor_vllm():
    code = (
        "import sys, json, grpo_plugin.planning.plan_text, grpo_plugin.planning.problems;"
        "import grpo_plugin.convert.easyr1.recipe_text;"
        "heavy = ('torch', 'vllm', 'transformers', 'axolotl.utils');"
        "print(json.dumps([name for name in heavy if name in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
