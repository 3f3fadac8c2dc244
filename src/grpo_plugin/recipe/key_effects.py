"""Every key of Axolotl's schema either has an effect on a run of this package or is refused (`refused_keys`)."""

from collections.abc import Iterator, Mapping
from typing import Any

from grpo_plugin.errors import RecipeError
from grpo_plugin.recipe.recipe import Recipe
from grpo_plugin.recipe.refused_keys import (
    REFUSED,
    REFUSED_VALUES,
    VALUES_WITHOUT_VLLM,
    WITH_PROMPTS,
    WITH_REWARDS,
    WITHOUT_ADAPTER,
    WITHOUT_ROLLOUT,
    WITHOUT_VLLM,
    Refusal,
)

# Keys with an effect, if only in some recipes, by what they are for; a test holds them and REFUSED against the schema.
EFFECTS = {
    "the recipe, the plugins, the run": """
        base_model rl trl vllm plugins strict seed output_dir axolotl_config_path sequence_len qat quantization
    """,
    "the model as it is loaded": """
        base_model_config cls_model_config type_of_model revision_of_model overrides_of_model_config
        overrides_of_model_kwargs trust_remote_code device device_map max_memory gpu_memory_limit low_cpu_mem_usage
        experimental_skip_move_to_device use_kernels model_quantization_config model_quantization_config_kwargs
        load_in_8bit load_in_4bit bnb_config_kwargs gptq use_onebitllms reinit_weights resize_token_embeddings_to_32x
        mean_resizing_embeddings shrink_embeddings embeddings_skip_upcast experts_implementation ple_cpu_offload
        quantize_moe_experts llama4_linearized_experts fp32_norms fp32_norm_classes freeze_mm_modules
        unfrozen_parameters fix_untrained_tokens is_falcon_derived_model is_llama_derived_model is_mistral_derived_model
        is_qwen_derived_model
    """,
    "tokenizer, chat template, processor": """
        tokenizer_config tokenizer_use_fast tokenizer_legacy tokenizer_use_mistral_common tokenizer_type
        tokenizer_save_jinja_files processor_type processor_kwargs image_size special_tokens tokens
        added_tokens_overrides chat_template chat_template_jinja default_system_message
    """,
    "attention and kernels": """
        attn_implementation xformers_attention sdp_attention flex_attention flex_attn_compile_kwargs flash_attention
        flash_attn_cross_entropy flash_attn_fuse_mlp flash_optimum sage_attention eager_attention
        gemma4_hybrid_attn_impl large_head_attention flash_attn_d512 fused_attn_kernel scaling_softmax
        scaling_softmax_factor scaling_softmax_bias tiled_mlp tiled_mlp_num_shards tiled_mlp_use_original_mlp
        lora_mlp_kernel lora_qkv_kernel lora_o_kernel lora_embedding_kernel torch_compile torch_compile_backend
        torch_compile_mode torch_compile_options
    """,
    "adapters": """
        adapter lora_model_dir lora_r lora_alpha lora_fan_in_fan_out lora_target_modules lora_target_parameters
        lora_target_linear lora_modules_to_save lora_rank_pattern lora_alpha_pattern lora_dropout
        peft_layers_to_transform peft_layers_pattern peft peft_use_dora peft_use_rslora peft_layer_replication
        peft_init_lora_weights peft_trainable_token_indices peft_ensure_weight_tying peft_autocast_adapter_dtype
        qlora_sharded_model_loading lora_on_cpu loraplus_lr_ratio loraplus_lr_embedding merge_lora merge_method
    """,
    "optimizer and schedule": """
        learning_rate embedding_lr embedding_lr_scale lr_groups weight_decay optimizer optim_args optim_target_modules
        torchdistx_path lr_scheduler lr_scheduler_kwargs cosine_min_lr_ratio cosine_constant_lr_ratio adam_epsilon
        adam_epsilon2 adam_beta1 adam_beta2 adam_beta3 dion_lr dion_momentum dion_rank_fraction dion_rank_multiple_of
        qgalore_rank qgalore_update_proj_gap qgalore_scale qgalore_proj_type qgalore_proj_quant qgalore_proj_bits
        qgalore_proj_group_size qgalore_cos_threshold qgalore_gamma_proj qgalore_queue_size max_grad_norm num_epochs
        max_steps warmup_steps warmup_ratio
    """,
    "batch, precision, memory": """
        micro_batch_size gradient_accumulation_steps batch_size bf16 fp16 fp8 fp8_config
        fp8_enable_fsdp_float8_all_gather bfloat16 float16 float32 tf32 gradient_checkpointing
        gradient_checkpointing_kwargs selective_checkpointing gc_steps gc_collect_steps torch_empty_cache_steps
    """,
    "several processes and machines": """
        deepspeed fsdp fsdp_config fsdp_version fsdp_final_state_dict_type accelerator_config ddp ddp_timeout
        dp_shard_size dp_replicate_size world_size local_rank use_ray ray_run_name ray_num_workers resources_per_worker
    """,
    "checkpoints and logs": """
        save_steps saves_per_epoch save_strategy save_total_limit save_first_step save_only_model dynamic_checkpoint
        resume_from_checkpoint auto_resume_from_checkpoints hub_model_id hub_strategy hub_revision logging_steps
        use_tensorboard profiler_steps profiler_steps_start use_otel_metrics otel_metrics_host otel_metrics_port
        use_trackio trackio_project_name trackio_run_name trackio_space_id use_comet comet_api_key comet_workspace
        comet_project_name comet_experiment_key comet_mode comet_online comet_experiment_config use_mlflow
        mlflow_tracking_uri mlflow_experiment_name mlflow_run_name hf_mlflow_log_artifacts use_wandb wandb_name
        wandb_run_id wandb_mode wandb_project wandb_entity wandb_watch wandb_log_model
    """,
    "of `axolotl inference`, and what Axolotl writes itself": """
        gradio_title gradio_share gradio_server_name gradio_server_port gradio_max_new_tokens gradio_temperature
        is_preprocess total_num_tokens total_supervised_tokens
    """,
    "without PromptPlugin: Axolotl's data": """
        datasets test_datasets val_set_size eval_batch_size eval_steps evals_per_epoch eval_strategy
        excess_length_strategy shuffle_merged_datasets shuffle_before_merging_datasets dataset_prepared_path
        skip_prepare_dataset num_dataset_shards_to_save dataset_processes dataset_num_proc dataset_exact_deduplication
        dataset_keep_in_memory push_dataset_to_hub hf_use_auth_token min_sample_len
    """,
    "trl": """
        trl.use_vllm trl.beta trl.max_completion_length trl.reward_funcs trl.reward_weights trl.generation_batch_size
        trl.num_generations trl.importance_sampling_level trl.sync_ref_model trl.ref_model_mixup_alpha
        trl.ref_model_sync_steps trl.scale_rewards trl.temperature trl.top_p trl.top_k trl.min_p trl.repetition_penalty
        trl.generation_kwargs trl.chat_template_kwargs trl.num_iterations trl.epsilon trl.epsilon_high
        trl.use_liger_loss trl.loss_type trl.mask_truncated_completions trl.multi_objective_aggregation
        trl.vllm_guided_decoding_regex trl.vllm_importance_sampling_correction trl.vllm_importance_sampling_mode
        trl.vllm_importance_sampling_cap trl.vllm_importance_sampling_clip_min trl.vllm_importance_sampling_clip_max
    """,
    "vllm": """
        vllm.tensor_parallel_size vllm.data_parallel_size vllm.gpu_memory_utilization vllm.dtype vllm.max_model_len
        vllm.enable_prefix_caching vllm.enforce_eager vllm.reasoning_parser
    """,
}
EFFECTIVE = frozenset(key for keys in EFFECTS.values() for key in keys.split())


def check_effects(recipe: Recipe) -> None:
    """Refuse a key that would have no effect, and a value that would fail late.

    Not checked on a worker of Ray, which gets the configuration with all of Axolotl's defaults in it, after the
    driver has been checked.

    Raises:
        RecipeError: for the first such key.
    """
    if recipe.values.get("world_size") is not None:
        return
    for key, refusal in _refusals(recipe):
        value = _value(recipe.values, key)
        if value not in refusal.neutral:
            raise RecipeError(f"{key}: {value!r} {refusal.reason}.")
    for (key, value), reason in {**REFUSED_VALUES, **({} if recipe.uses_vllm else VALUES_WITHOUT_VLLM)}.items():
        if _value(recipe.values, key) == value:
            raise RecipeError(f"{key}: {value!r} {reason}.")


def _refusals(recipe: Recipe) -> Iterator[tuple[str, Refusal]]:
    """The keys that this recipe must not have."""
    yield from REFUSED.items()
    if recipe.prompts is not None:
        yield from WITH_PROMPTS.items()
    if recipe.rewards is not None:
        yield from WITH_REWARDS.items()
    if recipe.rollout is None:
        yield from WITHOUT_ROLLOUT.items()
    if not recipe.uses_vllm:
        yield from WITHOUT_VLLM.items()
    if not recipe.values.get("adapter"):
        yield from WITHOUT_ADAPTER.items()


def _value(values: Mapping[str, Any], key: str) -> Any:
    """The value of a dotted key; None where a part of it is missing."""
    value: Any = values
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
