"""EasyR1's `worker.rollout` section: `rollout:`, `vllm:`, and sampling in `trl:`."""

import json

from grpo_plugin.importing.draft import Draft
from grpo_plugin.importing.easyr1_scale import Scale

_DTYPES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}


def server(draft: Draft, size: Scale) -> None:
    """vLLM on GPUs of its own."""
    origin = "worker.rollout.tensor_parallel_size"
    draft.put("rollout.gpus", size.serving, "vLLM has GPUs of its own")
    draft.put("rollout.args", _args(draft) or None, "worker.rollout.limit_images, max_num_batched_tokens")
    draft.put("vllm.tensor_parallel_size", size.serving, f"{origin}: {draft.source[origin]}, of GPUs it shares")
    dtype = str(draft.source["worker.rollout.dtype"])
    draft.put("vllm.dtype", _DTYPES.get(dtype, dtype), "worker.rollout.dtype")
    length = draft.source["worker.rollout.max_model_len"] or _longest(draft)
    draft.put("vllm.max_model_len", length, "worker.rollout.max_model_len, or prompt + response")
    if draft.source["worker.rollout.enforce_eager"]:
        draft.put("vllm.enforce_eager", True, "worker.rollout.enforce_eager")
    draft.leave("worker.rollout.gpu_memory_utilization", "vLLM shares no GPU here and takes 0.9 of its own")
    draft.leave("worker.rollout.name", "vLLM is the one engine")
    draft.leave("worker.rollout.enable_chunked_prefill", "of vLLM's old engine; the present one always has it")
    draft.leave("worker.rollout.disable_log_stats", "statistics go to the server's log")
    draft.leave("worker.rollout.disable_tqdm", "the screen shows one progress bar")
    draft.leave("worker.rollout.seed", "the recipe's seed is vLLM's")


def sampling(draft: Draft) -> None:
    """What is sampled in training, and on held-out prompts."""
    draft.move("data.max_response_length", "trl.max_completion_length")
    draft.put("sequence_len", _longest(draft), "prompt + response")
    draft.move("worker.rollout.temperature", "trl.temperature")
    draft.move("worker.rollout.top_p", "trl.top_p")
    top_k = draft.source["worker.rollout.top_k"]
    draft.put("trl.top_k", top_k if top_k > 0 else None, "worker.rollout.top_k")
    if draft.source["worker.rollout.ignore_eos"]:
        draft.put("trl.generation_kwargs", {"ignore_eos": True}, "worker.rollout.ignore_eos")
    held_out = dict(draft.source["worker.rollout.val_override_config"] or {})
    draft.put("validation.samples", held_out.pop("n", None), "worker.rollout.val_override_config.n")
    if held_out:
        draft.leave(
            "worker.rollout.val_override_config",
            "held-out prompts are sampled as in training, and once greedily; only n is taken over",
        )


def _longest(draft: Draft) -> int:
    return int(draft.source["data.max_prompt_length"]) + int(draft.source["data.max_response_length"])


def _args(draft: Draft) -> list[str]:
    args = []
    if images := draft.source["worker.rollout.limit_images"]:
        args += ["--limit-mm-per-prompt", json.dumps({"image": images})]
    tokens = draft.source["worker.rollout.max_num_batched_tokens"]
    if "worker.rollout.max_num_batched_tokens" in draft.source.written:
        args += ["--max-num-batched-tokens", str(tokens)]
    return args
