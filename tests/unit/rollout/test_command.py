import sys
from pathlib import Path
from typing import Any

import pytest

from grpo_plugin.config.rollout import RolloutConfig
from grpo_plugin.errors import RecipeError
from grpo_plugin.rollout.server.command import GATE_FOLDER, ServerCommand, resolve_sync, server_command
from grpo_plugin.rollout.server.devices import DeviceSplit, split
from grpo_plugin.rollout.server.endpoint import Endpoint

RUN = Path("/tmp/grpo-test")
EIGHT = [str(index) for index in range(8)]


def command(
    recipe: dict[str, Any] | None = None,
    rollout: RolloutConfig | None = None,
    devices: DeviceSplit | None = None,
    endpoint: Endpoint | None = None,
    sync: Any = "file",
    environ: dict[str, str] | None = None,
) -> ServerCommand:
    recipe = {"base_model": "some/model", **(recipe or {})}
    return server_command(
        recipe, rollout or RolloutConfig(), devices or DeviceSplit(), endpoint or Endpoint(RUN), sync, environ or {}
    )


def option(built: ServerCommand, name: str) -> str | None:
    return built.argv[built.argv.index(name) + 1] if name in built.argv else None


def test_on_a_cpu() -> None:
    built = command({"vllm": {"gpu_memory_utilization": 0.9}})
    assert built.argv == (
        *(sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", "some/model"),
        *("--dtype", "float32", "--enforce-eager", "--logprobs-mode", "processed_logprobs"),
        *("--worker-extension-cls", "grpo_worker.WeightReload"),
        *("--uds", "/tmp/grpo-test/vllm.sock", "--middleware", "grpo_gate.Gate", "--disable-uvicorn-access-log"),
    )
    assert built.env == built.settings
    assert built.settings == {
        "PYTHONPATH": str(GATE_FOLDER),
        "PYTHONSAFEPATH": "1",
        "TMPDIR": "/tmp/grpo-test/tmp",
        "VLLM_SERVER_DEV_MODE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "OMP_WAIT_POLICY": "PASSIVE",
        "TORCHDYNAMO_DISABLE": "1",
    }


def test_a_compiled_model_on_a_cpu_keeps_the_compiler() -> None:
    built = command({"vllm": {"enforce_eager": False, "dtype": "bfloat16"}})
    assert "--enforce-eager" not in built.argv
    assert "TORCHDYNAMO_DISABLE" not in built.env
    assert option(built, "--dtype") == "bfloat16"


def test_eight_gpus_with_seven_processes() -> None:
    recipe = {"seed": 7, "vllm": {"gpu_memory_utilization": 0.85, "max_model_len": 4096}}
    built = command(recipe, devices=split(EIGHT, 7, RolloutConfig(), recipe["vllm"]), sync="nccl")
    assert built.argv[3:] == (
        *("--model", "some/model", "--seed", "7", "--max-model-len", "4096", "--gpu-memory-utilization", "0.85"),
        *("--dtype", "auto", "--logprobs-mode", "processed_logprobs"),
        *("--weight-transfer-config", '{"backend": "nccl"}', "--uds", "/tmp/grpo-test/vllm.sock"),
        *("--middleware", "grpo_gate.Gate", "--disable-uvicorn-access-log"),
    )
    assert built.env["CUDA_VISIBLE_DEVICES"] == "7"
    assert not any(name.startswith("VLLM_CPU") or name.startswith("OMP") for name in built.env)


@pytest.mark.parametrize(
    ("vllm", "expected"),
    [
        ({"tensor_parallel_size": 2}, ("--tensor-parallel-size", "2")),
        ({"data_parallel_size": 2}, ("--data-parallel-size", "2")),
    ],
)
def test_two_gpus_serve(vllm: dict[str, int], expected: tuple[str, str]) -> None:
    built = command({"vllm": vllm}, devices=split(EIGHT, 6, RolloutConfig(), vllm))
    assert option(built, expected[0]) == expected[1]
    assert built.env["CUDA_VISIBLE_DEVICES"] == "6,7"


@pytest.mark.parametrize(("rank", "allowed"), [(1, "1"), (8, "8"), (24, "32"), (257, "320")])
def test_an_adapter_served_as_one(rank: int, allowed: str) -> None:
    built = command({"adapter": "lora", "lora_r": rank}, RolloutConfig(lora="adapter"))
    assert "--enable-lora" in built.argv
    assert option(built, "--max-lora-rank") == allowed
    assert built.env["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] == "1"


def test_an_adapter_sent_merged_needs_nothing() -> None:
    built = command({"adapter": "lora", "lora_r": 16})
    assert "--enable-lora" not in built.argv
    assert "VLLM_ALLOW_RUNTIME_LORA_UPDATING" not in built.env


def test_a_rank_vllm_cannot_serve_is_an_error() -> None:
    with pytest.raises(RecipeError, match=r"lora_r: 1024 is over vLLM's largest, 512; set rollout.lora: merged"):
        command({"adapter": "lora", "lora_r": 1024}, RolloutConfig(lora="adapter"))


def test_tcp_has_a_key_in_the_environment_alone() -> None:
    built = command(endpoint=Endpoint(RUN, "127.0.0.1", 8123, "s3cret"))
    assert option(built, "--host") == "127.0.0.1"
    assert option(built, "--port") == "8123"
    assert "--uds" not in built.argv
    assert built.env["GRPO_GATE_KEY"] == "s3cret"
    assert "s3cret" not in built.shell()


def test_an_external_server_is_never_started() -> None:
    with pytest.raises(RecipeError, match=r"rollout\.url: 'http://elsewhere:8000' runs already"):
        command(rollout=RolloutConfig(url="http://elsewhere:8000"))


def test_a_recipe_without_a_model() -> None:
    with pytest.raises(RecipeError, match="base_model: required and missing"):
        command({"base_model": None})


def test_what_the_model_is() -> None:
    recipe = {"tokenizer_config": "other/tokenizer", "revision_of_model": "abc", "trust_remote_code": True}
    recipe["vllm"] = {"enable_prefix_caching": False, "reasoning_parser": "qwen3", "host": "0.0.0.0", "port": 1}
    built = command(recipe)
    assert option(built, "--tokenizer") == "other/tokenizer"
    assert option(built, "--revision") == "abc"
    assert option(built, "--reasoning-parser") == "qwen3"
    assert {"--trust-remote-code", "--no-enable-prefix-caching"} < set(built.argv)
    assert not {"--host", "--port"} & set(built.argv), "vllm.host and vllm.port belong to TRL's server"


def test_prompts_with_images_bring_their_template() -> None:
    flag = "--trust-request-chat-template"
    assert flag in command({"prompts": {"image_key": "images"}}).argv
    assert flag not in command({"prompts": {"train": "x"}}).argv


def test_the_trainers_environment_stays_with_the_trainer() -> None:
    trainer = {"RANK": "3", "MASTER_PORT": "29500", "ACCELERATE_MIXED_PRECISION": "bf16", "TORCHELASTIC_RUN_ID": "x"}
    trainer |= {
        "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True",
        "CUDA_VISIBLE_DEVICES": "0,1",
        "VLLM_API_KEY": "k",
    }
    built = command(environ={**trainer, "HF_HOME": "/hub", "HF_TOKEN": "t"}, devices=DeviceSplit(("0",), ("1",)))
    assert built.env == {**built.settings, "HF_HOME": "/hub", "HF_TOKEN": "t"}
    assert built.env["CUDA_VISIBLE_DEVICES"] == "1"


def test_another_interpreter_does_not_see_the_trainers_packages() -> None:
    environ = {"PYTHONPATH": "/trainer/packages", "VIRTUAL_ENV": "/trainer"}
    own = command(environ=environ)
    other = command(rollout=RolloutConfig(python="venvs/vllm/bin/python"), environ=environ)
    assert own.env["PYTHONPATH"] == f"{GATE_FOLDER}:/trainer/packages"
    assert other.env["PYTHONPATH"] == str(GATE_FOLDER)
    assert "VIRTUAL_ENV" not in other.env
    assert other.argv[0] == str(Path.cwd() / "venvs/vllm/bin/python"), "relative to the working folder, links kept"


def test_the_recipes_own_arguments_and_variables_win() -> None:
    rollout = RolloutConfig(args=["--max-num-seqs", "64"], env={"VLLM_CPU_KVCACHE_SPACE": "4", "PYTHONPATH": "/mine"})
    built = command(rollout=rollout)
    assert built.argv[-2:] == ("--max-num-seqs", "64")
    assert built.env["VLLM_CPU_KVCACHE_SPACE"] == "4"
    assert built.env["PYTHONPATH"] == f"{GATE_FOLDER}:/mine"


@pytest.mark.parametrize(
    ("asked", "gpus", "has_vllm", "way"),
    [
        ("auto", True, True, "nccl"),
        ("auto", True, False, "file"),
        ("auto", False, True, "file"),
        ("file", True, True, "file"),
        ("nccl", True, True, "nccl"),
    ],
)
def test_how_weights_travel(asked: Any, gpus: bool, has_vllm: bool, way: str) -> None:
    assert resolve_sync(RolloutConfig(sync=asked), gpus=gpus, trainer_has_vllm=has_vllm) == way


def test_nccl_without_what_it_needs() -> None:
    with pytest.raises(RecipeError, match="sync: nccl needs vllm in the trainer's environment"):
        resolve_sync(RolloutConfig(sync="nccl"), gpus=True, trainer_has_vllm=False)
    with pytest.raises(RecipeError, match="sync: nccl needs GPUs"):
        resolve_sync(RolloutConfig(sync="nccl"), gpus=False, trainer_has_vllm=True)


def test_a_file_does_not_reach_another_host() -> None:
    with pytest.raises(RecipeError, match="another host"):
        resolve_sync(RolloutConfig(url="http://gpu-box:8000"), gpus=True, trainer_has_vllm=False)
    assert resolve_sync(RolloutConfig(url="http://127.0.0.1:8000"), gpus=False, trainer_has_vllm=False) == "file"


@pytest.mark.parametrize("arg", ["--uds", "--port=9", "--api-key", "--logprobs-mode"])
def test_arguments_that_this_package_decides_are_refused(arg: str) -> None:
    with pytest.raises(RecipeError, match=r"rollout.args: .* cannot be given here; it is set by"):
        RolloutConfig.parse("rollout", {"args": [arg]})


def test_numbers_in_yaml_become_text() -> None:
    rollout = RolloutConfig.parse("rollout", {"args": ["--max-num-seqs", 64], "env": {"VLLM_CPU_KVCACHE_SPACE": 2}})
    assert rollout.args == ["--max-num-seqs", "64"]
    assert rollout.env == {"VLLM_CPU_KVCACHE_SPACE": "2"}


def test_the_served_length_follows_from_the_limits_where_it_is_not_set() -> None:
    limits = {"prompts": {"max_length": 100}, "trl": {"max_completion_length": 28}}
    assert option(command(limits), "--max-model-len") == "128"
    assert option(command({"prompts": {"max_length": 100}}), "--max-model-len") == "356"
    assert option(command({**limits, "vllm": {"max_model_len": 200}}), "--max-model-len") == "200"
    assert option(command({"trl": {"max_completion_length": 28}}), "--max-model-len") is None
    with pytest.raises(RecipeError, match="raise it to 128"):
        command({**limits, "vllm": {"max_model_len": 127}})


def test_a_worker_extension_of_the_users_takes_the_place_of_ours() -> None:
    built = command(rollout=RolloutConfig(args=["--worker-extension-cls", "mine.Extension"]))
    assert built.argv.count("--worker-extension-cls") == 1
    assert option(built, "--worker-extension-cls") == "mine.Extension"
