"""EasyR1's `worker.actor.fsdp` and what surrounds it: how the model is divided over the GPUs that train."""

import re

from grpo_plugin.convert.easyr1.draft import Draft
from grpo_plugin.convert.easyr1.scale import Scale

_ACTOR, _FSDP = "worker.actor", "worker.actor.fsdp"
_SWITCHES = {
    f"{_FSDP}.enable_full_shard": "reshard_after_forward",
    f"{_FSDP}.enable_cpu_offload": "offload_params",
    f"{_FSDP}.enable_rank0_init": "cpu_ram_efficient_loading",
}

# Decoder layers (and blocks of the vision tower) that FSDP wraps, by what the model's name holds; the first that fits.
_LAYERS = (
    (r"qwen2\.5.*vl", "Qwen2_5_VLDecoderLayer,Qwen2_5_VLVisionBlock"),
    (r"qwen2.*vl", "Qwen2VLDecoderLayer,Qwen2VLVisionBlock"),
    (r"qwen3.*vl.*a\d+b", "Qwen3VLMoeTextDecoderLayer,Qwen3VLMoeVisionBlock"),
    (r"qwen3.*vl", "Qwen3VLTextDecoderLayer,Qwen3VLVisionBlock"),
    (r"qwen3.*a\d+b", "Qwen3MoeDecoderLayer"),
    (r"qwen3", "Qwen3DecoderLayer"),
    (r"qwen2|qwq", "Qwen2DecoderLayer"),
    (r"llama", "LlamaDecoderLayer"),
    (r"gemma-?3", "Gemma3DecoderLayer"),
    (r"gemma-?2", "Gemma2DecoderLayer"),
    (r"mistral", "MistralDecoderLayer"),
)


def sharding(draft: Draft, size: Scale) -> None:
    """FSDP 2 where several GPUs train the whole model; and what has no counterpart."""
    if size.processes > 1 and "adapter" not in draft.values:
        _fsdp(draft)
    else:
        for key in (*_SWITCHES, f"{_ACTOR}.strategy"):
            draft.drop(key, "every GPU that trains holds the whole model")
    _left(draft)


def _fsdp(draft: Draft) -> None:
    name = str(draft.values["base_model"])
    layers = next((layer for pattern, layer in _LAYERS if re.search(pattern, name, re.IGNORECASE)), None)
    draft.put("fsdp_version", 2, f"{_ACTOR}.strategy")
    draft.put("fsdp_config.auto_wrap_policy", "TRANSFORMER_BASED_WRAP")
    draft.put("fsdp_config.transformer_layer_cls_to_wrap", layers)
    for origin, key in _SWITCHES.items():
        draft.move(origin, f"fsdp_config.{key}")
    draft.put("fsdp_config.state_dict_type", "FULL_STATE_DICT")
    saves = {"gradient_accumulation_kwargs": {"sync_each_batch": True}}
    draft.put("accelerator_config", saves, note="less memory")


def _left(draft: Draft) -> None:
    reasons = {
        "worker.hybrid_engine": "trainer and vLLM have GPUs of their own",
        f"{_ACTOR}.use_torch_compile": "it compiles EasyR1's own kernels; torch_compile: true would compile the model",
        f"{_ACTOR}.dynamic_batching": "micro-batches are counted in completions; see algorithm.tokens_per_micro_batch",
        f"{_FSDP}.use_orig_params": "FSDP 2 always keeps parameters as they are",
        f"{_FSDP}.torch_dtype": "weights are bf16; optimi_adamw carries what rounding would lose",
        f"{_FSDP}.mp_reduce_dtype": "gradients are reduced in the type of the weights",
        f"{_FSDP}.mp_buffer_dtype": "buffers keep their type",
    }
    for key, reason in reasons.items():
        draft.drop(key, reason)
    packed = "sequences are always packed without padding"
    draft.drop(f"{_ACTOR}.padding_free", packed, same_at=True)
    whole = "sequences are not divided over GPUs; every GPU holds whole ones"
    draft.drop(f"{_ACTOR}.ulysses_size", whole, same_at=1)
    divided = "the model is divided over all GPUs that train; dp_shard_size changes that"
    draft.drop(f"{_FSDP}.fsdp_size", divided, same_at=-1)
    draft.drop_under(f"{_ACTOR}.offload", "the trainer shares no GPU with vLLM, so nothing has to make room")
    draft.drop_under("worker.ref", "the reference model is divided as the policy is")
