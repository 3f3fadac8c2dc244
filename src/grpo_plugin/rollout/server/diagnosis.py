"""The cause in a failed server's log, and its remedy. Pure text in, text out."""

import re
from collections.abc import Iterator

# The first pattern found decides, so specific patterns stand before general ones.
_REMEDIES = (
    (
        r"No module named '?vllm",
        "set rollout.python to an interpreter that has vLLM, or pip install 'grpo-plugin[vllm]'",
    ),
    (r"No module named", "vLLM's environment is incomplete; install what it lacks, or set rollout.python to another"),
    (
        r"unrecognized arguments|invalid choice|error: argument|expected (one|at least one) argument",
        "check rollout.args and the vllm: block against this vLLM (0.23 to 0.32 are supported)",
    ),
    (
        r"No available memory for the cache blocks|KV cache is needed, which is larger",
        "raise vllm.gpu_memory_utilization, or lower vllm.max_model_len",
    ),
    (r"greater than the derived max_model_len", "lower vllm.max_model_len to what the model allows"),
    (
        r"CUDA out of memory|OutOfMemoryError|less than desired GPU memory|HIP out of memory",
        "lower vllm.gpu_memory_utilization, give vLLM more GPUs, or free the memory that other processes hold",
    ),
    (r"less than requested memory for kv", "lower VLLM_CPU_KVCACHE_SPACE (GiB) in rollout.env"),
    (r"GatedRepoError|gated repo|401 Client Error|403 Client Error", "accept the model's licence and set HF_TOKEN"),
    (
        r"RepositoryNotFound|LocalEntryNotFound|RevisionNotFound|HFValidationError|is not a valid model identifier"
        r"|does not appear to have a file named|Invalid repository ID or local directory",
        "check base_model, revision_of_model and the network (HF_HUB_OFFLINE)",
    ),
    (
        r"are not supported for now|Unknown architecture|does not recognize this architecture",
        "this vLLM does not know the model; use a newer one, or trl.use_vllm: false",
    ),
    (r"Address already in use", "choose another rollout.port, or drop rollout.host to use the private Unix socket"),
    (
        r"invalid device ordinal|no CUDA-capable device|driver version is insufficient|No CUDA GPUs are available",
        "check CUDA_VISIBLE_DEVICES, nvidia-smi and the driver",
    ),
    (r"No space left on device", "free space in /dev/shm, the temporary folder and the cache of the hub"),
    (r"ended with code -9", "it was killed, most often for memory: give the machine more, or vLLM less"),
)
_PREFIX = re.compile(r"^(\([^)]* pid=\d+\) ?)?((DEBUG|INFO|WARNING|ERROR) [\d-]+ [\d:]+ \[[^\]]*\] ?)?")
_NOISE = re.compile(
    r"Route: /|nanobind|leaked (instance|type|function)|resource_tracker|^[\s^~█▀▄]*$|^\s*warnings\.warn\(|^ - "
)
# Python's last line of a traceback, pydantic's second, argparse's, and the interpreter's own.
_CAUSE = re.compile(
    r"^(?!.*\d validation errors? for)(?:[\w.]+\.)?\w*(?:Error|Exception): \S.*|^\s*Value error, .*"
    r"|^\S+\.py: error: .*|^\S*python\S*: (?:Error while|No module|can't open).*"
)


def explain(log: str) -> str:
    """The first error that has a known remedy, and the remedy; else the first error. One clause."""
    lines = _meaningful(log)
    errors = [line for line in lines if _CAUSE.match(line)]
    found = next(_with_remedy(errors), None) or next(_with_remedy(lines), None)
    cause = found[0] if found and found[0] in errors else next(iter(errors), None)
    parts = (cause and cause.strip()[:300].rstrip("."), found and found[1])
    return "; ".join(filter(None, parts)) or "its log says why"


def _with_remedy(lines: list[str]) -> Iterator[tuple[str, str]]:
    """Lines with their remedy, the most specific remedy first."""
    for pattern, remedy in _REMEDIES:
        yield from ((line, remedy) for line in lines if re.search(pattern, line))


def tail(log: str, lines: int = 15) -> str:
    """The last lines that say something, without the process and time that vLLM puts before each."""
    return "\n".join(line[:300] for line in _meaningful(log)[-lines:])


def _meaningful(log: str) -> list[str]:
    stripped = (_PREFIX.sub("", line.rstrip()) for line in log.splitlines())
    return [line for line in stripped if not _NOISE.search(line)]
