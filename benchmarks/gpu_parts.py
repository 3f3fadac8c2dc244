"""The parts of benchmarks/gpu.py. Imports of what a machine may lack stand where they are needed."""

import gc
import json
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from grpo_plugin.algorithms.forward import completion_logprobs
from grpo_plugin.algorithms.losses import policy_loss
from grpo_plugin.algorithms.packing import Packed, pack

# Qwen2.5's shapes.
SIZES: dict[str, dict[str, Any]] = {
    "0.5b": {"hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24, "num_attention_heads": 14},
    "1.5b": {"hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28, "num_attention_heads": 12},
    "tiny": {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4},
}
VOCABULARY = {"0.5b": 151_936, "1.5b": 151_936, "tiny": 512}
BF16_FLOPS = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "L40S": 362e12, "4090": 165e12}  # dense, by card


class Record:
    """Rows of a part in its file, each written as soon as it is there."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.rows: dict[str, dict[str, Any]] = json.loads(file.read_text()) if file.exists() else {}

    def row(self, name: str, measure: Callable[[], dict[str, Any]]) -> None:
        """Measure a row that is not there; where that fails, the row holds the reason."""
        if name in self.rows:
            return
        try:
            self.rows[name] = measure()
        except Exception as error:  # libraries raise many kinds of errors
            self.rows[name] = {"reason": f"{type(error).__name__}: {error}".partition("\n")[0][:300]}
        self.file.write_text(json.dumps(self.rows, indent=1) + "\n", encoding="utf-8")
        release()


def release() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def device_of(tiny: bool) -> torch.device:
    """Raises RuntimeError where a card is needed and there is none."""
    if tiny:
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise RuntimeError("no CUDA device; --tiny runs on the CPU")
    return torch.device("cuda")


def make_model(size: str, device: torch.device, dtype: torch.dtype, attention: str = "packed_sdpa") -> Any:
    """Qwen2 of a size, with random weights and a checkpointed backward pass."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    from grpo_plugin.compat.packed_attention import install

    config = Qwen2Config(vocab_size=VOCABULARY[size], num_key_value_heads=2, tie_word_embeddings=True, **SIZES[size])
    torch.manual_seed(0)
    with torch.device(device):
        implementation = "sdpa" if attention == "packed_sdpa" else attention
        model = Qwen2ForCausalLM._from_config(config, attn_implementation=implementation, dtype=dtype).train()
    if attention == "packed_sdpa":
        install(model)
    model.gradient_checkpointing_enable({"use_reentrant": False})
    return model


def make_batch(completions: int, longest: int, vocabulary: int, device: torch.device) -> dict[str, Tensor]:
    """As gsm8k's are: prompts of 60 to 200 tokens, completions of 40 to `longest`; padded as TRL pads them."""
    generator = torch.Generator().manual_seed(0)
    shortest = max(1, longest // 10)
    prompts = torch.randint(max(2, shortest), max(3, longest // 2), (completions,), generator=generator)
    tokens = torch.randint(shortest, longest + 1, (completions,), generator=generator)
    width = int(prompts.max())
    batch = {
        "prompt_ids": torch.randint(0, vocabulary, (completions, width), generator=generator),
        "prompt_mask": (torch.arange(width) >= width - prompts.unsqueeze(1)).long(),
        "completion_ids": torch.randint(0, vocabulary, (completions, longest), generator=generator),
        "completion_mask": (torch.arange(longest) < tokens.unsqueeze(1)).long(),
        "advantages": torch.randn(completions, generator=generator),
    }
    return {name: value.to(device) for name, value in batch.items()} | {"num_items_in_batch": tokens.sum().to(device)}


def packed_of(batch: dict[str, Tensor], rows: slice | Sequence[int] = slice(None)) -> Packed:
    names = ("prompt_ids", "prompt_mask", "completion_ids", "completion_mask")
    return pack(*(batch[name][rows] for name in names))


# Agreement


def agreement(record: Record, *, size: str, tiny: bool) -> None:
    """Packed in each type and attention, against each sequence alone through SDPA in the same type."""
    size = "tiny" if tiny else size
    for dtype in (torch.bfloat16, torch.float32):
        for attention in ("packed_sdpa", "flex_attention", "flash_attention_2"):
            name = f"{str(dtype).removeprefix('torch.')} {attention}"
            record.row(name, lambda dtype=dtype, attention=attention: _agreement(size, tiny, dtype, attention))  # type: ignore[misc]


def _agreement(size: str, tiny: bool, dtype: torch.dtype, attention: str) -> dict[str, Any]:
    device = device_of(tiny)
    if attention == "flash_attention_2" and dtype == torch.float32:
        return {"reason": "flash-attention takes 16-bit types alone"}
    if attention == "flash_attention_2" and find_spec("flash_attn") is None:
        return {"reason": "flash_attn is not installed"}
    if attention == "flex_attention" and device.type == "cpu":
        return {"reason": "FlexAttention has no backward pass on a CPU"}
    batch = make_batch(3 if tiny else 8, 12 if tiny else 400, VOCABULARY[size], device)
    logps, gradient = _values(make_model(size, device, dtype, attention), [packed_of(batch)], batch)
    release()
    singles = [packed_of(batch, [row]) for row in range(len(batch["advantages"]))]
    own, expected = _values(make_model(size, device, dtype), singles, batch)
    mask = batch["completion_mask"].bool()
    difference = (logps - own)[mask].abs()
    return {
        "logp mean": difference.mean().item(),
        "logp max": difference.max().item(),
        "gradient cosine": torch.nn.functional.cosine_similarity(gradient, expected, dim=0).item(),
        "gradient relative": ((gradient - expected).norm() / expected.norm()).item(),
    }


def _values(model: Any, parts: Sequence[Packed], batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Log-probabilities (B, T), and the gradient of their weighted sum by the first and last layers' weights."""
    rows = []
    for index, part in enumerate(parts):
        logps, _ = completion_logprobs(model, part)
        weights = batch["advantages"] if len(parts) == 1 else batch["advantages"][index : index + 1]
        (logps.sum(1) * weights).sum().backward()
        rows.append(logps.detach())
    layers = model.model.layers
    chosen = [layers[0].self_attn.q_proj.weight, layers[0].mlp.down_proj.weight, layers[-1].self_attn.v_proj.weight]
    return torch.cat(rows), torch.cat([weight.grad.flatten().float() for weight in chosen])


# Update


def update(record: Record, *, size: str, tiny: bool) -> None:
    """One update, forward and backward, of a ragged batch: ours in micro-batches of tokens, TRL's of completions."""
    size = "tiny" if tiny else size
    for path in ("packed", "trl"):
        record.row(path, lambda path=path: _update(size, tiny, path))  # type: ignore[misc]


def _update(size: str, tiny: bool, path: str) -> dict[str, Any]:
    device = device_of(tiny)
    completions, micro = (4, 2) if tiny else (64, 16)
    batch = make_batch(completions, 12 if tiny else 400, VOCABULARY[size], device)
    model = make_model(size, device, torch.bfloat16, "packed_sdpa" if path == "packed" else "sdpa")
    step = _packed_update if path == "packed" else _trl_update
    parts = [{k: v[i : i + micro] for k, v in batch.items() if v.dim()} for i in range(0, completions, micro)]
    parts = [{**part, "num_items_in_batch": batch["num_items_in_batch"]} for part in parts]

    def run() -> float:
        start = _now(device)
        for part in parts:
            step(model, part)
        return _now(device) - start

    run()  # warm up
    seconds = min(run() for _ in range(1 if tiny else 3))
    tokens = int(batch["prompt_mask"].sum() + batch["completion_mask"].sum())
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return {
        "tokens/s": tokens / seconds,
        "MFU": _mfu(6.0 * parameters * tokens / seconds),
        "peak GB": _peak(device),
        "planned GB": _planned(model, max(int(p["prompt_mask"].sum() + p["completion_mask"].sum()) for p in parts)),
    }


def _packed_update(model: Any, part: dict[str, Tensor]) -> None:
    logps, _ = completion_logprobs(model, packed_of(part))
    loss, _ = policy_loss(
        logps,
        None,
        part["advantages"],
        part["completion_mask"],
        kind="ppo",
        clip_low=0.2,
        clip_high=0.28,
        denominator=part["num_items_in_batch"],
    )
    loss.backward()  # type: ignore[no-untyped-call]


def _trl_update(model: Any, part: dict[str, Tensor]) -> None:
    from benchmarks.update import trl_update

    trl_update(model, part)


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def _mfu(flops: float) -> float | None:
    """Of the card's dense bf16 peak; None for a card that is not in the table. Recomputation does not count."""
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    peak = next((peak for card, peak in BF16_FLOPS.items() if card in name), None)
    return None if peak is None else flops / peak


def _peak(device: torch.device) -> float | None:
    return torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else None


def _planned(model: Any, tokens: int, *, optimizer: bool = False) -> float | str:
    """What `axolotl grpo plan` expects of the same update, without what CUDA and NCCL take for themselves."""
    try:
        from grpo_plugin.planning.memory import trainer_memory
        from grpo_plugin.planning.model_sizes import from_config
        from grpo_plugin.planning.training import Training
    except ImportError as error:
        return f"no estimate ({error})"
    plan = Training(
        weight_bytes=2.0,
        optimizer="adamw_torch",
        sharding="none",
        masters=False,
        gathers_gradients=False,
        offloads_optimizer=False,
        offloads_weights=False,
        lora_rank=0,
        lora_targets=(),
        freezes_vision=True,
        checkpoints=True,
        reference=False,
        tokens=tokens,
    )
    parts = dict(trainer_memory(from_config(model.config.to_dict()), plan, 1).parts)
    left_out = {"CUDA, NCCL, fragments"} | (set() if optimizer else {"optimizer"})
    return sum(size for name, size in parts.items() if name not in left_out) / 2**30


# Training


def training(record: Record, *, size: str, tiny: bool) -> None:
    """Ten optimizer steps on recorded samples: generation, rewards and Axolotl's trainer are not part of it."""
    size = "tiny" if tiny else size
    for adapter in (False, True):
        name = "ten steps, LoRA" if adapter else "ten steps, full"
        record.row(name, lambda adapter=adapter: _training(size, tiny, adapter))  # type: ignore[misc]


def _training(size: str, tiny: bool, adapter: bool) -> dict[str, Any]:
    from grpo_plugin.algorithms.advantages import compute

    device, group = device_of(tiny), 4
    batch = make_batch(8 if tiny else 64, 12 if tiny else 400, VOCABULARY[size], device)
    rewards = (batch["completion_ids"].float().mean(1) > VOCABULARY[size] / 2).double().cpu()
    rewards[::group] = 1.0 - rewards[1::group]  # every group has two answers
    mask = batch["completion_mask"].bool()
    batch["advantages"] = compute("grpo", rewards=rewards, group_size=group, mask=mask.cpu()).float().to(device)
    model, core = _with_adapter(make_model(size, device, torch.bfloat16), adapter)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4 if adapter else 1e-5, weight_decay=0.0)
    micro = 4 if tiny else 16
    parts = [{k: v[i : i + micro] for k, v in batch.items() if v.dim()} for i in range(0, len(rewards), micro)]
    start, losses = _now(device), []
    for _ in range(10):
        for part in parts:
            _packed_update(core, {**part, "num_items_in_batch": batch["num_items_in_batch"]})
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            logps, _ = completion_logprobs(core, packed_of(batch, slice(0, micro)))
            losses.append((logps.sum(1) * batch["advantages"][:micro]).sum().item())
    return {
        "s/step": (_now(device) - start) / 10,
        "peak GB": _peak(device),
        "Σ A·logp first": losses[0],
        "Σ A·logp last": losses[-1],
        "is": "an update on recorded samples",
    }


def _with_adapter(model: Any, adapter: bool) -> tuple[Any, Any]:
    """What holds the trained parameters, and the transformers model inside it."""
    if not adapter:
        return model, model
    from peft import LoraConfig, get_peft_model

    model.enable_input_require_grads()
    wrapped = get_peft_model(model, LoraConfig(r=16, lora_alpha=32, target_modules="all-linear"))
    return wrapped, wrapped.get_base_model()


# Weights and ranks


def shared_memory(record: Record, *, tiny: bool) -> None:
    record.row("safetensors", lambda: _shared_memory(tiny))


def _shared_memory(tiny: bool) -> dict[str, Any]:
    import tempfile

    from safetensors.torch import load_file, save_file

    device, size = device_of(tiny), 2**16 if tiny else 2**28
    shards = [{f"weight.{n}": torch.ones(size // 2, dtype=torch.bfloat16, device=device)} for n in range(12)]
    folder = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=folder) as path:
        files = [Path(path) / f"model-{index:05d}.safetensors" for index in range(len(shards))]
        start = _now(device)
        for file, shard in zip(files, shards, strict=True):
            save_file(shard, file)
        written = _now(device)
        for file in files:
            load_file(file, device=str(device))
        read = _now(device)
    return {"GB": 12 * size / 1e9, "write s": written - start, "read s": read - written}


def nccl(record: Record, *, tiny: bool) -> None:
    record.row("two ranks, one card", lambda: _nccl(tiny))


def _nccl(tiny: bool) -> dict[str, Any]:
    """An all-reduce of two ranks on one device: gloo's on a CPU."""
    import socket

    import torch.multiprocessing as processes

    device = device_of(tiny)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    backend = "nccl" if device.type == "cuda" else "gloo"
    start = time.perf_counter()
    processes.spawn(_rank, args=(port, backend, str(device)), nprocs=2)  # type: ignore[no-untyped-call]
    return {"backend": backend, "s": time.perf_counter() - start}


def _rank(rank: int, port: int, backend: str, device: str) -> None:
    import torch.distributed as distributed

    distributed.init_process_group(backend, init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    total = torch.ones(1024, device=device)
    distributed.all_reduce(total)
    if total.sum().item() != 2048:
        raise RuntimeError(f"sum of two ranks is {total[0].item()}, not 2")
    distributed.destroy_process_group()
