"""EasyR1's `worker.rollout` section: `rollout:`, `vllm:`, and sampling in `trl:`."""

import json

from grpo_plugin.convert.easyr1.draft import Draft
from grpo_plugin.convert.easyr1.scale import Scale

_DTYPES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}
_ROLLOUT, _HELD_OUT = "worker.rollout", "worker.rollout.val_override_config"


def server(draft: Draft, size: Scale) -> None:
    """vLLM on GPUs of its own."""
    draft.put("rollout.gpus", size.serving, note="vLLM has GPUs of its own")
    _arguments(draft)
    tensor = f"{_ROLLOUT}.tensor_parallel_size"
    shared = f": {draft.source[tensor]}, of the GPUs that it shared with the trainer"
    draft.put("vllm.tensor_parallel_size", size.serving, tensor, note=shared)
    dtype = draft.source[f"{_ROLLOUT}.dtype"]
    draft.put("vllm.dtype", _DTYPES.get(dtype, dtype), f"{_ROLLOUT}.dtype")
    if draft.source[f"{_ROLLOUT}.max_model_len"]:
        draft.move(f"{_ROLLOUT}.max_model_len", "vllm.max_model_len")
    else:
        draft.put("vllm.max_model_len", _longest(draft), note="prompt + response")
        draft.drop(f"{_ROLLOUT}.max_model_len", "prompt + response", same_at=None)
    draft.put("vllm.enforce_eager", draft.source[f"{_ROLLOUT}.enforce_eager"] or None, f"{_ROLLOUT}.enforce_eager")
    _left(draft)


def sampling(draft: Draft) -> None:
    """What is sampled in training, and on held-out prompts."""
    draft.move("data.max_response_length", "trl.max_completion_length")
    draft.put("sequence_len", _longest(draft), note="prompt + response")
    draft.move(f"{_ROLLOUT}.temperature", "trl.temperature")
    draft.move(f"{_ROLLOUT}.top_p", "trl.top_p")
    top_k = draft.source[f"{_ROLLOUT}.top_k"]
    draft.put("trl.top_k", top_k if top_k > 0 else None, f"{_ROLLOUT}.top_k")
    ignores = draft.source[f"{_ROLLOUT}.ignore_eos"]
    draft.put("trl.generation_kwargs", {"ignore_eos": True} if ignores else None, f"{_ROLLOUT}.ignore_eos")
    _held_out(draft)


def _held_out(draft: Draft) -> None:
    known = {f"{_HELD_OUT}.{name}": name for name in ("n", "temperature", "top_p")}
    for key in draft.source.under(_HELD_OUT):
        if key not in known:
            draft.drop(key, "held-out prompts are otherwise sampled as in training", same_at={})
        elif draft.source[key]:
            draft.move(key, f"validation.{'samples' if known[key] == 'n' else known[key]}")
        else:
            draft.drop(key, "held-out prompts are answered greedily anyway, once each")


def _longest(draft: Draft) -> int:
    return int(draft.source["data.max_prompt_length"]) + int(draft.source["data.max_response_length"])


def _arguments(draft: Draft) -> None:
    """vLLM's own options; its batches are limited only where the author said so."""
    options = {"limit_images": "--limit-mm-per-prompt", "max_num_batched_tokens": "--max-num-batched-tokens"}
    options["max_num_seqs"] = "--max-num-seqs"
    arguments, origins = [], []
    for name, option in options.items():
        value, key = draft.source[f"{_ROLLOUT}.{name}"], f"{_ROLLOUT}.{name}"
        if value and key in draft.source.spelling:
            arguments += [option, json.dumps({"image": value}) if name == "limit_images" else str(value)]
            origins.append(key)
        else:
            draft.same.append(key)
    draft.put("rollout.args", arguments or None, *origins)


def _left(draft: Draft) -> None:
    draft.drop(f"{_ROLLOUT}.gpu_memory_utilization", "vLLM shares no GPU here and takes 0.9 of its own")
    draft.drop(f"{_ROLLOUT}.name", "vLLM is the one engine", same_at="vllm")
    draft.drop(
        f"{_ROLLOUT}.enable_chunked_prefill", "of vLLM's old engine; the present one always has it", same_at=True
    )
    draft.drop(f"{_ROLLOUT}.disable_log_stats", "statistics go to the server's log")
    draft.drop(f"{_ROLLOUT}.disable_tqdm", "the screen shows one progress bar", same_at=False)
    draft.drop(f"{_ROLLOUT}.seed", "the recipe's seed is vLLM's", same_at=draft.source["data.seed"])
