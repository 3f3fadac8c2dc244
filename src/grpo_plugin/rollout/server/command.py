"""The vLLM server's command line and environment, built by pure functions. Holds for vLLM 0.23 to 0.32."""

import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from grpo_plugin.config.rollout import RolloutConfig
from grpo_plugin.errors import RecipeError
from grpo_plugin.recipe.length_budget import longest_answer, model_length
from grpo_plugin.rollout.server.devices import DeviceSplit
from grpo_plugin.rollout.server.endpoint import Endpoint

Sync = Literal["nccl", "file"]

GATE_FOLDER = Path(__file__).parent / "gate"
GATE_KEY = "GRPO_GATE_KEY"
WORKER_EXTENSION = "grpo_worker.WeightReload"
CPU_CACHE = "1"  # GiB for keys and values without a GPU, unless rollout.env says otherwise (VLLM_CPU_KVCACHE_SPACE)

# Keys of the recipe's `vllm:` block that vLLM's server takes under the same name. The others of Axolotl's schema
# (host, port, serve_module, worker_extension_cls, device, enable_reasoning) belong to TRL's server.
_ENGINE_OPTIONS = ("tensor_parallel_size", "data_parallel_size", "max_model_len", "reasoning_parser")
_LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)

# The trainer's process group, and what Axolotl sets for its allocator: expandable segments break vLLM's memory pool.
_TRAINER_ONLY = {
    *("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "GROUP_WORLD_SIZE", "NODE_RANK"),
    *("MASTER_ADDR", "MASTER_PORT", "PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_HIP_ALLOC_CONF"),
    *("CUDA_VISIBLE_DEVICES", "VLLM_API_KEY", GATE_KEY),
}
_TRAINER_PREFIXES = ("ACCELERATE_", "TORCHELASTIC_", "ROLE_", "FSDP_", "DEEPSPEED_", "PMI_", "OMPI_", "AXOLOTL_")
# What another interpreter must not inherit: it would import the trainer's packages.
_INTERPRETER_ONLY = {"PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV", "CONDA_PREFIX"}


@dataclass(frozen=True)
class ServerCommand:
    """`argv`, the whole environment `env` to run it in, and `settings`, the part of `env` that was set here."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    settings: Mapping[str, str]
    endpoint: Endpoint

    def shell(self) -> str:
        """One line to paste into a shell, with the key left out."""
        shown = {name: "…" if name == GATE_KEY else shlex.quote(value) for name, value in self.settings.items()}
        return " ".join([*(f"{name}={value}" for name, value in shown.items()), shlex.join(self.argv)])


def resolve_sync(rollout: RolloutConfig, *, gpus: bool, trainer_has_vllm: bool) -> Sync:
    """The weight transport that `rollout.sync` names; `auto` is NCCL where both sides can use it.

    Raises:
        RecipeError: when it cannot work here.
    """
    nccl = gpus and trainer_has_vllm
    if rollout.sync == "nccl" and not nccl:
        lacking = "vllm in the trainer's environment" if gpus else "GPUs"
        raise RecipeError(f"rollout.sync: nccl needs {lacking}; use sync: file, or pip install 'grpo-plugin[vllm]'.")
    sync: Sync = "nccl" if nccl and rollout.sync != "file" else "file"
    if sync == "file" and rollout.url and urlsplit(rollout.url).hostname not in ("localhost", "127.0.0.1", "::1"):
        raise RecipeError(
            f"rollout.url: {rollout.url!r} is another host, which cannot read weights from this one's shared memory; "
            "use GPUs with vllm in the trainer's environment (sync: nccl), or a server on this host."
        )
    return sync


def server_command(
    recipe: Mapping[str, Any],
    rollout: RolloutConfig,
    split: DeviceSplit,
    endpoint: Endpoint,
    sync: Sync,
    environ: Mapping[str, str] = os.environ,
) -> ServerCommand:
    """`python -m vllm.entrypoints.openai.api_server …` for an Axolotl recipe.

    Raises:
        RecipeError: when the recipe names a running server (`rollout.url`), no `base_model`, or too large a LoRA rank.
    """
    if rollout.url:
        raise RecipeError(f"rollout.url: {rollout.url!r} runs already; remove the url to have a server started.")
    if not recipe.get("base_model"):
        raise RecipeError("base_model: required and missing; name a Hugging Face model or a local folder.")
    gpus = bool(split.server)
    adapter = serves_adapter(recipe, rollout)
    argv = (
        str(Path(rollout.python).absolute()) if rollout.python else sys.executable,
        *("-m", "vllm.entrypoints.openai.api_server"),
        *_model_args(recipe),
        *_engine_args(recipe, gpus),
        *(_lora_args(recipe) if adapter else ()),
        *(("--weight-transfer-config", '{"backend": "nccl"}') if sync == "nccl" else ()),
        *_worker_args(sync, rollout),
        *_serving_args(endpoint),
        # Prompts with images travel by the chat route, with a template that repeats them (client/chat_images.py).
        *(("--trust-request-chat-template",) if (recipe.get("prompts") or {}).get("image_key") else ()),
        *rollout.args,
    )
    settings = _settings(rollout, split, endpoint, environ)
    if adapter:
        settings["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] = "1"
    if not gpus:
        settings |= _cpu_settings(eager="--enforce-eager" in argv)
    settings |= {name: value for name, value in rollout.env.items() if name != "PYTHONPATH"}
    return ServerCommand(argv, {**_inherited(rollout, environ), **settings}, settings, endpoint)


def serves_adapter(recipe: Mapping[str, Any], rollout: RolloutConfig) -> bool:
    """Whether vLLM loads the LoRA adapter itself, rather than weights with the adapter merged in."""
    return recipe.get("adapter") in ("lora", "qlora") and rollout.lora == "adapter"


def _model_args(recipe: Mapping[str, Any]) -> list[str]:
    args = ["--model", str(recipe["base_model"])]
    for key, option in (("tokenizer_config", "--tokenizer"), ("revision_of_model", "--revision"), ("seed", "--seed")):
        if recipe.get(key) is not None:
            args += [option, str(recipe[key])]
    if recipe.get("trust_remote_code"):
        args.append("--trust-remote-code")
    return args


def dtype(recipe: Mapping[str, Any], *, gpus: bool) -> str:
    """What vLLM computes in; CPUs are slow at bfloat16, and float32 keeps the log-probability gap at rounding error."""
    asked = str((recipe.get("vllm") or {}).get("dtype") or "auto")
    return "float32" if asked == "auto" and not gpus else asked


def _engine_args(recipe: Mapping[str, Any], gpus: bool) -> list[str]:
    vllm = {**(recipe.get("vllm") or {}), "max_model_len": _max_model_len(recipe)}
    args: list[str] = []
    for key in (*_ENGINE_OPTIONS, *(("gpu_memory_utilization",) if gpus else ())):
        if vllm.get(key) is not None:
            args += [f"--{key.replace('_', '-')}", str(vllm[key])]
    args += ["--dtype", dtype(recipe, gpus=gpus)]
    if (caching := vllm.get("enable_prefix_caching")) is not None:
        args.append("--enable-prefix-caching" if caching else "--no-enable-prefix-caching")
    eager = vllm.get("enforce_eager")
    if eager or (eager is None and not gpus):
        args.append("--enforce-eager")
    # The trainer divides logits by the temperature; raw_logprobs, vLLM's default, would leave it out.
    return [*args, "--logprobs-mode", "processed_logprobs"]


def _max_model_len(recipe: Mapping[str, Any]) -> int | None:
    prompts, vllm = (recipe.get(block) or {} for block in ("prompts", "vllm"))
    return model_length(prompts.get("max_length"), longest_answer(recipe), vllm.get("max_model_len"))


def _lora_args(recipe: Mapping[str, Any]) -> list[str]:
    rank = int(recipe.get("lora_r") or 8)
    allowed = next((size for size in _LORA_RANKS if size >= rank), None)
    if allowed is None:
        raise RecipeError(f"lora_r: {rank} is over vLLM's largest, {_LORA_RANKS[-1]}; set rollout.lora: merged.")
    return ["--enable-lora", "--max-lora-rank", str(allowed), "--max-loras", "1"]


def _worker_args(sync: Sync, rollout: RolloutConfig) -> list[str]:
    # vLLM takes one extension; with a user's own, tied embeddings work on GPUs alone.
    given = any(arg.partition("=")[0] == "--worker-extension-cls" for arg in rollout.args)
    return ["--worker-extension-cls", WORKER_EXTENSION] if sync == "file" and not given else []


def _serving_args(endpoint: Endpoint) -> list[str]:
    where = (
        ["--host", endpoint.host, "--port", str(endpoint.port)] if endpoint.host else ["--uds", str(endpoint.socket)]
    )
    return [*where, "--middleware", "grpo_gate.Gate", "--disable-uvicorn-access-log"]


def _settings(
    rollout: RolloutConfig, split: DeviceSplit, endpoint: Endpoint, environ: Mapping[str, str]
) -> dict[str, str]:
    # With the trainer's own interpreter vLLM may be found through PYTHONPATH; another one must not inherit it.
    inherited = [] if rollout.python else [environ.get("PYTHONPATH", "")]
    paths = [str(GATE_FOLDER), *inherited, rollout.env.get("PYTHONPATH", "")]
    settings = {
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        # `-m` would put the working folder first on sys.path, where a user's stats.py or types.py shadows a module.
        "PYTHONSAFEPATH": "1",
        "TMPDIR": str(endpoint.run_dir / "tmp"),
        "VLLM_SERVER_DEV_MODE": "1",  # opens the weight, rpc and cache routes
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
    }
    if endpoint.key:
        settings[GATE_KEY] = endpoint.key
    if split.server:
        settings["CUDA_VISIBLE_DEVICES"] = ",".join(split.server)
    return settings


def _cpu_settings(eager: bool) -> dict[str, str]:
    """Trainer and server share the cores: threads that spin while they wait made generation 10 to 20 times slower."""
    settings = {
        "VLLM_CPU_KVCACHE_SPACE": CPU_CACHE,
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    # Without a compiled model, what is left to compile are two small samplers, for 20 s and with a C++ compiler.
    return settings | ({"TORCHDYNAMO_DISABLE": "1"} if eager else {})


def _inherited(rollout: RolloutConfig, environ: Mapping[str, str]) -> dict[str, str]:
    dropped = _TRAINER_ONLY | (_INTERPRETER_ONLY if rollout.python else set())
    return {
        name: value for name, value in environ.items() if name not in dropped and not name.startswith(_TRAINER_PREFIXES)
    }
