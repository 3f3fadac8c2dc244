"""The names and values sent to vLLM are those of a checkpoint, for every way a trainer can hold a model."""

from copy import deepcopy
from pathlib import Path

import pytest
import torch
import transformers
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
from transformers import (
    AutoModelForCausalLM,
    BitsAndBytesConfig,
    GemmaConfig,
    LlamaConfig,
    MistralConfig,
    MixtralConfig,
    PretrainedConfig,
    PreTrainedModel,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Config,
    Qwen3Config,
)

from grpo_plugin.errors import RolloutError
from grpo_plugin.rollout.sync.weights import named_tensors

transformers.logging.disable_progress_bar()

SMALL = {
    "vocab_size": 32,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 4,
    "bos_token_id": None,
    "eos_token_id": 0,
    "pad_token_id": 0,
}

FAMILIES: dict[str, PretrainedConfig] = {
    "qwen2 untied": Qwen2Config(**SMALL, tie_word_embeddings=False),
    "qwen2 tied": Qwen2Config(**SMALL, tie_word_embeddings=True),
    "qwen3": Qwen3Config(**SMALL),
    "llama": LlamaConfig(**SMALL),
    "gemma": GemmaConfig(**SMALL),
    "mistral": MistralConfig(**SMALL),
    "mixtral": MixtralConfig(**SMALL, num_local_experts=3, num_experts_per_tok=2),
}


def tiny(name: str = "qwen2 untied") -> PreTrainedModel:
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(deepcopy(FAMILIES[name]))


def vision() -> PreTrainedModel:
    text = SMALL | {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1, 0]}}
    pixels = {"depth": 2, "hidden_size": 16, "intermediate_size": 24, "num_heads": 2, "out_hidden_size": 16}
    return Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(text_config=text, vision_config=pixels))


def saved(model: PreTrainedModel, folder: Path) -> dict[str, Tensor]:
    model.save_pretrained(folder)
    return load_file(folder / "model.safetensors")


def sent(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in named_tensors(model)}


def assert_same(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        assert one[name].dtype == other[name].dtype, name
        assert torch.equal(one[name], other[name]), name


@pytest.mark.parametrize("family", FAMILIES)
def test_names_and_bits_are_those_of_save_pretrained(family: str, tmp_path: Path) -> None:
    model = tiny(family).to(torch.bfloat16)
    expected = saved(model, tmp_path)
    assert ("lm_head.weight" in expected) == (not model.config.tie_word_embeddings)
    assert_same(sent(model), expected)


def test_a_model_loaded_from_a_checkpoint_keeps_the_names_it_was_loaded_under(tmp_path: Path) -> None:
    expected = saved(vision(), tmp_path)
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(tmp_path)
    names = {name for name, _ in model.named_parameters()}
    assert "visual.blocks.0.attn.qkv.weight" in expected
    assert "visual.blocks.0.attn.qkv.weight" not in names
    assert_same(sent(model), expected)


def test_mixed_types_stay_as_they_are(tmp_path: Path) -> None:
    model = tiny().to(torch.bfloat16)
    model.model.norm.float()
    tensors = sent(model)
    assert tensors["model.norm.weight"].dtype == torch.float32
    assert tensors["lm_head.weight"].dtype == torch.bfloat16


def test_wrappers_leave_no_trace_in_the_names() -> None:
    plain, wrapped = tiny(), tiny()
    for index, layer in enumerate(wrapped.model.layers):
        wrapped.model.layers[index] = checkpoint_wrapper(layer)
    assert "_checkpoint_wrapped_module" in next(name for name, _ in wrapped.named_parameters() if "layers" in name)
    assert_same(sent(torch.compile(wrapped)), sent(plain))


class Engine(nn.Module):
    """As DistributedDataParallel and DeepSpeed's engine hold a model."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module


def test_the_model_inside_an_engine_is_found() -> None:
    assert_same(sent(Engine(tiny())), sent(tiny()))


def test_something_that_holds_no_policy_is_refused() -> None:
    with pytest.raises(RolloutError, match="expected a Hugging Face model to send to vLLM, got Linear"):
        sent(nn.Linear(2, 2))


LINEAR = ["q_proj", "v_proj", "down_proj"]

ADAPTERS: dict[str, LoraConfig] = {
    "lora": LoraConfig(r=3, lora_alpha=5, target_modules=LINEAR),
    "rslora": LoraConfig(r=3, lora_alpha=5, target_modules=LINEAR, use_rslora=True),
    "dora": LoraConfig(r=3, lora_alpha=5, target_modules=LINEAR, use_dora=True),
    "embeddings": LoraConfig(r=3, lora_alpha=5, target_modules=["embed_tokens", "lm_head", "q_proj"]),
    "a module trained whole": LoraConfig(r=3, target_modules=LINEAR, modules_to_save=["lm_head", "norm"]),
    "some tokens": LoraConfig(r=3, target_modules=LINEAR, trainable_token_indices=[1, 7]),
}


def trained(config: LoraConfig, family: str = "qwen2 untied") -> nn.Module:
    """A model with an adapter that is away from where it started."""
    model = get_peft_model(tiny(family), config)
    torch.manual_seed(1)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += 0.1 * torch.randn_like(parameter)
    return model


@pytest.mark.parametrize("kind", ADAPTERS)
def test_adapters_are_merged_as_peft_would_and_the_base_keeps_its_bits(kind: str, tmp_path: Path) -> None:
    model = trained(ADAPTERS[kind])
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    first, second = sent(model), sent(model)
    assert_same({name: tensor.clone() for name, tensor in model.state_dict().items()}, before)
    assert_same(first, second)
    assert_same(first, saved(model.merge_and_unload(safe_merge=True), tmp_path))
    merged = "model.layers.0.self_attn.q_proj.weight"
    assert not torch.equal(first[merged], sent(tiny())[merged])


def test_the_merge_is_w_plus_scaling_times_b_a() -> None:
    model = trained(ADAPTERS["lora"])
    layer = model.base_model.model.model.layers[1].self_attn.q_proj
    delta = layer.lora_B["default"].weight @ layer.lora_A["default"].weight
    expected = layer.base_layer.weight + 5 / 3 * delta
    torch.testing.assert_close(sent(model)["model.layers.1.self_attn.q_proj.weight"], expected.detach())


def test_experts_with_adapters_are_merged_and_split_as_in_a_checkpoint(tmp_path: Path) -> None:
    config = LoraConfig(r=2, target_modules=[], target_parameters=["experts.gate_up_proj", "experts.down_proj"])
    model = trained(config, "mixtral")
    assert_same(sent(model), saved(model.merge_and_unload(safe_merge=True), tmp_path))


def test_training_goes_on_after_a_merge() -> None:
    model = trained(ADAPTERS["dora"])
    ids = torch.arange(8)[None]
    before = model(ids).logits
    sent(model)
    after = model(ids).logits
    assert torch.equal(before, after)
    after.sum().backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


def test_a_tied_head_is_sent_where_an_adapter_made_it_differ() -> None:
    model = trained(LoraConfig(r=3, target_modules=["embed_tokens"]), "qwen2 tied")
    tensors = sent(model)
    assert not torch.equal(tensors["lm_head.weight"], tensors["model.embed_tokens.weight"])
    assert torch.equal(tensors["lm_head.weight"], model.base_model.model.lm_head.weight)


def test_weights_that_are_not_finite_stop_the_sync() -> None:
    model = trained(ADAPTERS["lora"])
    model.base_model.model.model.layers[0].self_attn.q_proj.lora_B["default"].weight.data[0, 0] = torch.nan
    with pytest.raises(ValueError, match="NaN"):
        sent(model)


@pytest.mark.parametrize("bits", [{"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}, {"load_in_8bit": True}])
def test_a_quantised_base_is_sent_as_the_trainer_computes_with_it(bits: dict[str, object], tmp_path: Path) -> None:
    tiny().save_pretrained(tmp_path)
    if "load_in_4bit" in bits:
        bits = bits | {"bnb_4bit_compute_dtype": torch.float32}
    base = AutoModelForCausalLM.from_pretrained(
        tmp_path, quantization_config=BitsAndBytesConfig(**bits), dtype=torch.float32
    )
    model = get_peft_model(base, ADAPTERS["lora"]).train()
    model.base_model.model.model.layers[0].self_attn.q_proj.lora_B["default"].weight.data.normal_()
    dense = tiny()
    dense.load_state_dict(sent(model))
    ids = torch.arange(8)[None]
    torch.testing.assert_close(dense(ids).logits, model(ids).logits, atol=1e-5, rtol=1e-5)
