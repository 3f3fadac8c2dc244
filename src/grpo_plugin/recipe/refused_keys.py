"""Keys of Axolotl that have no effect on a run of this package, each with the reason that its error gives.

Each reason ends the sentence `KEY: VALUE …`. Axolotl builds the trainer of `rl: grpo` from fewer keys than that of
supervised fine-tuning (`HFRLTrainerBuilder`), and ours replaces generation, data loader, loss and validation.
"""

from typing import Any, NamedTuple

OFF: tuple[Any, ...] = (None, False, 0, "", "no", "none", [], {})  # values that ask for nothing


class Refusal(NamedTuple):
    """Why a key is refused, and the values that are not, because a run without the key does the same."""

    reason: str
    neutral: tuple[Any, ...] = OFF


def _refuse(reason: str, *keys: str, neutral: tuple[Any, ...] = OFF) -> dict[str, Refusal]:
    return dict.fromkeys(keys, Refusal(reason, neutral))


_ON = (None, True)  # of keys that are true by default
_NO_EFFECT = "has no effect on rl: grpo; remove it"

# Always, whatever plugins the recipe names.
REFUSED: dict[str, Refusal] = {
    **_refuse(
        "is no longer a key of Axolotl; remove it",
        *("max_packed_sequence_len", "noisy_embedding_alpha", "dpo_beta", "eval_table_size", "eval_max_new_tokens"),
        *("dpo_use_logits_to_keep", "dpo_generate_during_eval", "dpo_norm_loss", "rpo_alpha", "s2_attention"),
        *("flash_attn_rms_norm", "lr_div_factor"),
    ),
    **_refuse("is no longer a key of Axolotl; use overrides_of_model_config: {rope_scaling: …}", "rope_scaling"),
    **_refuse(
        "belongs to another kind of training than rl: grpo; remove it",
        *("dpo_use_weighting", "dpo_label_smoothing", "precompute_ref_log_probs", "dpo_use_liger_kernel"),
        *("dpo_padding_free", "dpo_loss_type", "dpo_loss_weights", "orpo_alpha", "simpo_gamma", "cpo_alpha"),
        *("kto_desirable_weight", "kto_undesirable_weight", "ebft", "reward_model", "process_reward_model"),
        *("center_rewards_coefficient", "num_labels", "train_on_inputs", "role_boundaries", "image_resize_algorithm"),
        *("pretraining_dataset", "pretrain_multipack_buffer_size", "pretraining_sample_concatenation"),
        *("use_pose", "pose_split_on_token_ids", "pose_max_context_len", "pose_num_chunks", "preprocess_iterable"),
        *("neftune_noise_alpha", "use_eaft", "eaft_alpha", "eaft_k"),
    ),
    **_refuse("belongs to pre-training; remove it", "pretrain_multipack_attn", neutral=_ON),
    **_refuse(
        "changes the loss of supervised fine-tuning, which rl: grpo does not have; remove it",
        *("chunked_cross_entropy", "chunked_cross_entropy_num_chunks"),
    ),
    **_refuse("is not read by rl: grpo; use trl.beta, or algorithm.kl_coef", "rl_beta"),
    # Packing and padding
    **_refuse(
        "has no effect: completions are always packed, within algorithm.tokens_per_micro_batch; remove it",
        *("sample_packing", "sample_packing_group_size", "sample_packing_bin_size", "sample_packing_sequentially"),
        *("sample_packing_mp_start_method", "eval_sample_packing", "multipack_real_batches", "batch_flattening"),
        *("sample_packing_eff_est", "streaming_multipack_buffer_size", "sdpa_varlen"),
        *("pad_to_sequence_len", "pad_to_multiple_of", "group_by_length"),
    ),
    # Training
    **_refuse(
        _NO_EFFECT,
        *("relora", "relora_prune_ratio", "relora_prune_method", "relora_cpu_offload", "jagged_restart_steps"),
        *("jagged_restart_warmup_steps", "jagged_restart_anneal_steps", "lisa_n_layers", "lisa_step_interval"),
        *("lisa_layers_attribute", "lr_quadratic_warmup", "auto_find_batch_size", "loss_watchdog_threshold"),
        *("loss_watchdog_patience", "ddp_bucket_cap_mb", "ddp_broadcast_buffers", "ddp_find_unused_parameters"),
        *("remove_unused_columns", "deepcompile", "include_tokens_per_second", "include_tkps", "curriculum_sampling"),
        *("dataset_shard_num", "dataset_shard_idx", "eval_sequence_len", "eot_tokens"),
    ),
    **_refuse(
        "is not supported: offloading would be left out, and gradient checkpointing with it; use "
        "gradient_checkpointing: offload",
        *("activation_offloading", "layer_offloading"),
    ),
    **_refuse("is not read by rl: grpo, which always saves safetensors; remove it", "save_safetensors", neutral=_ON),
    **_refuse("is not supported: these plugins bring the trainer; remove it", "trainer_cls"),
    **_refuse(
        "divides sequences over GPUs, which GRPO's trainer cannot do; set it to 1, and shorten sequences or shard the "
        "model (fsdp_config) to save memory",
        *("context_parallel_size", "sequence_parallel_degree"),
        neutral=(*OFF, 1),
    ),
    **_refuse("belongs to context parallelism, which GRPO's trainer does not have; remove it", "heads_k_stride"),
    **_refuse("belongs to context parallelism, which GRPO's trainer does not have; remove it", "ring_attn_func"),
    **_refuse(
        "is not supported for the trainer; shard the model (fsdp_config), and for vLLM set vllm.tensor_parallel_size",
        "tensor_parallel_size",
        neutral=(*OFF, 1),
    ),
    **_refuse(
        "has no effect: prompts are read ahead by this package's data loader; remove it",
        *("dataloader_num_workers", "dataloader_pin_memory", "dataloader_prefetch_factor", "dataloader_drop_last"),
    ),
    # Evaluation and the best model
    **_refuse(
        "is not supported: the last model is saved; use validation.best, which keeps the best checkpoint too",
        *("load_best_model_at_end", "metric_for_best_model", "greater_is_better"),
    ),
    **_refuse("is not supported; use validation.best and validation.patience", "early_stopping_patience"),
    **_refuse(
        "has no effect on rl: grpo; use ValidationPlugin and its block",
        *("do_causal_lm_eval", "eval_causal_lm_metrics", "do_bench_eval", "bench_dataset", "bench_split"),
        *("evaluation_strategy",),
    ),
    **_refuse(
        "has no effect on rl: grpo; completions are logged in the folder generations/ of output_dir; remove it",
        *("generate_samples", "num_generation_samples", "generation_max_new_tokens", "generation_temperature"),
        *("generation_top_p", "generation_top_k", "generation_prompt_ratio"),
    ),
    **_refuse("has no effect on rl: grpo; remove it", "generation_do_sample", neutral=_ON),
    # Text
    **_refuse("is not read by rl: grpo; use trl.chat_template_kwargs", "chat_template_kwargs"),
    **_refuse("is not read by rl: grpo; use prompts.max_length", "max_prompt_len"),
    **_refuse("is not read by rl: grpo; use prompts.streaming", "streaming"),
    # trl: what Axolotl's own rollout and TRL's server have, which these plugins replace
    **_refuse(
        "belongs to Axolotl's own rollout, which this package's trainer replaces; remove it",
        *("trl.use_data_producer", "trl.streaming_partial_batch", "trl.streaming_min_groups"),
        *("trl.replay_buffer_size", "trl.reroll_start_fraction", "trl.reroll_max_groups", "trl.vllm_sync_interval"),
    ),
    **_refuse(
        "belongs to Axolotl's own rollout, which this package's trainer replaces; remove it",
        *("trl.replay_recompute_logps", "trl.skip_zero_advantage_batches"),
        neutral=_ON,
    ),
    **_refuse(
        "belongs to Axolotl's own rollout, which this package's trainer replaces; use rollout.lookahead: 1",
        *("trl.async_prefetch", "trl.prefetch_depth"),
    ),
    **_refuse(
        "belongs to Axolotl's own rollout, which this package's trainer replaces; use rollout.lora: adapter",
        "trl.vllm_lora_sync",
    ),
    **_refuse("is not read; use rewards.workers", "trl.reward_num_workers", neutral=(*OFF, 1)),
    **_refuse(
        "shares GPUs between trainer and vLLM; here vLLM has GPUs of its own; remove it",
        "trl.vllm_mode",
        neutral=(*OFF, "server"),
    ),
    **_refuse(
        "shares GPUs between trainer and vLLM; here vLLM has GPUs of its own; remove it", "trl.vllm_enable_sleep_mode"
    ),
    **_refuse("belongs to TRL's server, which is not used; use rollout.host or rollout.url", "trl.vllm_server_host"),
    **_refuse("belongs to TRL's server, which is not used; use rollout.port or rollout.url", "trl.vllm_server_port"),
    **_refuse("belongs to TRL's server, which is not used; use rollout.start_timeout", "trl.vllm_server_timeout"),
    **_refuse(
        "has no effect; every completion is logged in the folder generations/ of output_dir; remove it",
        *("trl.log_completions", "trl.num_completions_to_print", "trl.log_multimodal"),
    ),
    **_refuse("is not supported; generation is this package's own; remove it", "trl.rollout_func"),
    **_refuse(
        "is a term that the loss of these plugins lacks; remove it",
        *("trl.entropy_coef", "trl.use_adaptive_entropy", "trl.entropy_target", "trl.entropy_coef_delta"),
        *("trl.entropy_coef_min", "trl.entropy_coef_max", "trl.off_policy_mask_threshold"),
        "trl.use_bias_correction_kl",
    ),
    # vllm: keys of TRL's server
    **_refuse("belongs to TRL's server, which is not used; use rollout.host", "vllm.host"),
    **_refuse("belongs to TRL's server, which is not used; use rollout.port", "vllm.port"),
    **_refuse(
        "belongs to TRL's server, which is not used; remove it", "vllm.serve_module", "vllm.worker_extension_cls"
    ),
    **_refuse(
        "is not passed to vLLM, which takes the GPUs that are there; remove it", "vllm.device", neutral=(None, "auto")
    ),
    **_refuse("is no longer an option of vLLM; set vllm.reasoning_parser alone", "vllm.enable_reasoning"),
}

_PROMPTS = "is not read with PromptPlugin"
_VALIDATION = f"{_PROMPTS}; name held-out data as prompts.validation, and use ValidationPlugin and its block"

# With PromptPlugin, which brings the data in place of Axolotl.
WITH_PROMPTS: dict[str, Refusal] = {
    **_refuse(f"{_PROMPTS}; name the data as prompts.train", "datasets"),
    **_refuse(_VALIDATION, "test_datasets", "val_set_size", "eval_batch_size"),
    **_refuse(f"{_PROMPTS}; use validation.every", "eval_steps", "evals_per_epoch", "eval_strategy"),
    **_refuse(f"{_PROMPTS}; use prompts.overlong", "excess_length_strategy"),
    **_refuse(
        f"{_PROMPTS}; the order of prompts is a function of `seed`; remove it",
        "shuffle_merged_datasets",
        neutral=_ON,
    ),
    **_refuse(
        f"{_PROMPTS}; remove it",
        *("shuffle_before_merging_datasets", "dataset_prepared_path"),
        *("skip_prepare_dataset", "num_dataset_shards_to_save", "dataset_processes"),
        *("dataset_num_proc", "dataset_exact_deduplication", "dataset_keep_in_memory", "push_dataset_to_hub"),
        *("hf_use_auth_token", "min_sample_len"),
    ),
}

# With RewardPlugin, which brings the rewards in place of Axolotl.
WITH_REWARDS: dict[str, Refusal] = {
    **_refuse("is not read with RewardPlugin; name the functions in rewards.functions", "trl.reward_funcs"),
    **_refuse("is not read with RewardPlugin; set the weight of each of rewards.functions", "trl.reward_weights"),
}

# Without RolloutPlugin, which alone starts or reaches vLLM.
WITHOUT_ROLLOUT: dict[str, Refusal] = {
    **_refuse("needs RolloutPlugin; add grpo_plugin.RolloutPlugin to `plugins`, or remove the key", "trl.use_vllm"),
    **_refuse("is read by RolloutPlugin alone; add grpo_plugin.RolloutPlugin to `plugins`, or remove it", "vllm"),
}

# Without `adapter`, when the whole model is trained.
WITHOUT_ADAPTER: dict[str, Refusal] = {
    **_refuse(
        "has no effect without `adapter`, and the whole model would be trained; set adapter: lora, or remove it",
        *("lora_r", "lora_alpha", "lora_target_linear", "lora_target_modules"),
    ),
}

# Where Hugging Face generates.
_HUGGING_FACE = "has no effect where Hugging Face generates"
WITHOUT_VLLM: dict[str, Refusal] = {
    **_refuse(f"{_HUGGING_FACE}; use vLLM (RolloutPlugin), or remove it", "trl.vllm_guided_decoding_regex"),
    **_refuse(
        f"{_HUGGING_FACE}; use vLLM (RolloutPlugin), or remove it",
        *("trl.generation_kwargs.stop", "trl.generation_kwargs.stop_strings"),
    ),
}

# Values of keys that have an effect with others: (key, value) -> reason.
REFUSED_VALUES: dict[tuple[str, Any], str] = {
    ("save_strategy", "best"): "needs metrics that the trainer of rl: grpo does not compare; use save_steps",
}
VALUES_WITHOUT_VLLM: dict[tuple[str, Any], str] = {
    ("trl.top_k", -1): "means all tokens in vLLM alone; where Hugging Face generates, set 0",
}
