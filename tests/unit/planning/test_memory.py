"""Every part of the estimate by hand, and the activations against what a real layer saves."""

import json
from dataclasses import replace

import pytest

from grpo_plugin.planning import main_memory as module
from grpo_plugin.planning.disk import disk
from grpo_plugin.planning.machine import GIB, Machine
from grpo_plugin.planning.main_memory import LIBRARIES, SERVER, UNSHARED, installed, main_memory
from grpo_plugin.planning.memory import OVERHEAD, activations, layer_width, trainer_memory
from grpo_plugin.planning.model_shapes import Model
from grpo_plugin.planning.model_sizes import from_config
from grpo_plugin.planning.serving import GRAPHS, serving
from grpo_plugin.planning.training import Training, from_recipe
from tests.unit.planning.conftest import CONFIG

SHAPE = from_config(CONFIG)
P = SHAPE.parameters

FULL = Training(
    weight_bytes=2,
    optimizer="optimi_adamw",
    sharding="none",
    masters=False,
    gathers_gradients=False,
    offloads_optimizer=False,
    offloads_weights=False,
    lora_rank=0,
    lora_targets=(),
    freezes_vision=False,
    checkpoints=True,
    reference=False,
    tokens=1000,
)


def parts(training: Training, gpus: int = 1) -> dict[str, int]:
    return trainer_memory(SHAPE, training, gpus).parts


def test_one_gpu_holds_everything():
    found = parts(FULL)
    assert found["weights"] == found["gradients"] == 2 * P
    assert found["optimizer"] == 6 * P  # two moments and Kahan's compensation, 16 bits each
    assert found["output head"] == 2 * 4 * 2**25 + 4 * 100 * 64
    assert found["CUDA, NCCL, fragments"] == OVERHEAD
    assert "reference model" not in found and "gathered layers" not in found


@pytest.mark.parametrize(
    ("optimizer", "masters", "state"),
    [
        ("adamw_torch_fused", False, 4),
        ("adamw_torch_fused", True, 12),
        ("adamw_bnb_8bit", False, 2),
        ("sgd", False, 2),
        ("adafactor", False, 0),
    ],
)
def test_optimizer_states(optimizer, masters, state):
    assert replace(FULL, optimizer=optimizer, masters=masters).state_bytes == state


def test_fp32_weights_need_no_compensation():
    assert replace(FULL, weight_bytes=4).state_bytes == 8


def test_what_each_sharding_divides():
    none, zero1, zero2, zero3, fsdp = (
        parts(replace(FULL, sharding=sharding, reference=True), gpus=4)
        for sharding in ("none", "zero1", "zero2", "zero3", "fsdp")
    )
    assert none["gradients"] == 4 * P and zero1["gradients"] == 2 * P and zero2["gradients"] == 2 * P // 4
    assert none["optimizer"] == 6 * P and zero1["optimizer"] == 6 * P // 4
    assert zero2["weights"] == 2 * P and zero3["weights"] == fsdp["weights"] == 2 * P // 4
    assert zero2["reference model"] == 2 * P and fsdp["reference model"] == 2 * P // 4
    assert fsdp["gathered layers"] == 2 * (2 * SHAPE.layer + SHAPE.embeddings) and "gathered layers" not in zero2


def test_fsdp_keeps_whole_gradients_unless_it_syncs_each_batch():
    assert parts(replace(FULL, sharding="fsdp", gathers_gradients=True), gpus=4)["gradients"] == 2 * P
    assert parts(replace(FULL, sharding="fsdp"), gpus=4)["gradients"] == 2 * P // 4


def test_an_adapter_is_all_that_is_trained():
    """Rank 8 on q_proj (64 → 64) and k_proj (64 → 32) of 2 layers: 2 × 8 × (128 + 96) parameters, in fp32."""
    lora = replace(FULL, lora_rank=8, lora_targets=("q_proj", "k_proj"), optimizer="adamw_torch_fused")
    trained = 2 * 8 * (128 + 96)
    found = parts(lora)
    assert lora.trained(SHAPE) == trained
    assert found["adapter"] == found["gradients"] == 4 * trained and found["optimizer"] == 8 * trained
    assert found["output head"] == 2 * 4 * 2**25  # the head has no gradient


def test_without_targets_every_linear_layer_is_adapted():
    assert replace(FULL, lora_rank=1).trained(SHAPE) == 2 * (128 + 96 + 96 + 128 + 3 * 192)


def test_offloaded_parts_are_not_on_the_gpu():
    assert not {"weights", "optimizer"} & parts(replace(FULL, offloads_weights=True, offloads_optimizer=True)).keys()


def test_activations_by_hand():
    width = 9 * 64 + 3 * (64 + 32) + 4 * 128
    assert layer_width(SHAPE) == width
    assert activations(SHAPE, FULL) == 2 * 1000 * 64 * 2 + 3 * 1000 * width
    assert activations(SHAPE, replace(FULL, checkpoints=False)) == 2 * 2 * 1000 * width + 1000 * width


def test_activations_are_what_a_layer_saves():
    """Distinct storages that two kinds of layer keep for the backward pass, parameters apart, in bf16."""
    torch = pytest.importorskip("torch")
    from transformers import Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM

    for kind, config_kind in ((Qwen2ForCausalLM, Qwen2Config), (Qwen3ForCausalLM, Qwen3Config)):
        config = config_kind(**(CONFIG | {"hidden_size": 256, "intermediate_size": 768}), head_dim=64)
        model = kind(config).bfloat16()
        parameters = {parameter.data_ptr() for parameter in model.parameters()}
        saved = {}
        hidden = torch.randn(1, 64, 256, dtype=torch.bfloat16, requires_grad=True)
        rotary = model.model.rotary_emb(hidden, torch.arange(64)[None])

        def keep(tensor, saved=saved):
            saved[tensor.untyped_storage().data_ptr()] = tensor
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            model.model.layers[0](hidden, position_embeddings=rotary)
        size = sum(t.untyped_storage().nbytes() for t in saved.values() if t.data_ptr() not in parameters)
        shape = from_config(json.loads(config.to_json_string()))
        assert size == pytest.approx(2 * 64 * layer_width(shape), rel=0.12)


def test_a_recipe_says_how_the_model_is_held(recipe, tmp_path):
    (tmp_path / "zero3.json").write_text('{"zero_optimization": {"stage": 3, "offload_optimizer": {"device": "cpu"}}}')
    training = from_recipe(recipe(deepspeed=str(tmp_path / "zero3.json"), algorithm={"name": "grpo", "kl_coef": 0.1}))
    assert (training.sharding, training.masters, training.offloads_optimizer) == ("zero3", True, True)
    assert training.reference and training.keeps_small_updates
    assert training.tokens == 8 * 128


def test_fsdp_in_a_recipe(recipe):
    fsdp = {"auto_wrap_policy": "TRANSFORMER_BASED_WRAP", "offload_params": False}
    assert from_recipe(recipe(fsdp_config=fsdp)).gathers_gradients
    synced = {"gradient_accumulation_kwargs": {"sync_each_batch": True}}
    assert not from_recipe(recipe(fsdp_config=fsdp, accelerator_config=synced)).gathers_gradients
    assert not from_recipe(recipe(fsdp_config=fsdp, gradient_accumulation_steps=1)).gathers_gradients


def test_an_adapter_needs_no_reference_model(recipe):
    training = from_recipe(recipe(adapter="lora", lora_r=16, algorithm={"name": "grpo", "kl_coef": 0.1}))
    assert training.lora_rank == 16 and not training.reference


def test_vllm_by_hand():
    """Two GPUs share weights and the two key heads; what is left of 0.9 caches keys and values."""
    served = serving(SHAPE, {"tensor_parallel_size": 2, "gpu_memory_utilization": 0.9}, sequence=128)
    assert (served.weights, served.per_token) == (P, 2 * 2 * 32 * 2 // 2)
    tokens = int((0.9 * 4 * GIB - P - GRAPHS) // 128)
    assert served.cached_tokens(4 * GIB) == tokens
    assert served.at_once(4 * GIB) == tokens // 128
    assert served.needs() == int((P + GRAPHS + 128 * 128) / 0.9)


def test_gpus_beyond_the_key_heads_hold_copies_of_the_cache():
    assert serving(SHAPE, {"tensor_parallel_size": 4}, 128).per_token == SHAPE.cache_per_token // 2


def test_too_small_a_gpu_caches_nothing():
    assert serving(SHAPE, {}, 128).at_once(GIB) == 0


MODEL = Model(SHAPE, "its config.json", {})


def test_disk_by_hand():
    found = disk(MODEL, FULL, {"save_steps": 10, "save_total_limit": 3}, sends_file=True)
    assert (found.download, found.checkpoint, found.shared_memory) == (2 * P, 8 * P, 2 * P)
    assert found.output == 2 * P + 4 * 8 * P


def test_disk_without_checkpoints_or_states():
    assert disk(MODEL, FULL, {"save_strategy": "no"}, sends_file=False).output == 2 * P
    assert disk(MODEL, FULL, {"save_only_model": True}, sends_file=False).checkpoint == 2 * P


def test_what_is_loaded_are_the_files_where_they_are_here(tmp_path):
    """A model in float32 is twice what its parameters take in 16 bits."""
    assert Model(SHAPE, "its config.json", {"dtype": "float32"}).stored_bytes == 4 * P
    assert Model(SHAPE, "its config.json", {"torch_dtype": "bfloat16"}, tmp_path).stored_bytes == 2 * P
    (tmp_path / "model.safetensors").write_bytes(b"x" * 1234)
    (tmp_path / "consolidated.safetensors").write_bytes(b"x" * 1234)
    assert Model(SHAPE, "its config.json", {}, tmp_path).stored_bytes == 1234, "the same weights in another layout"
    (tmp_path / "model-2.safetensors").symlink_to(tmp_path / "gone")
    assert Model(SHAPE, "its config.json", {}, tmp_path).stored_bytes == 2 * P, "not all of them are here"


def test_main_memory_by_hand(recipe):
    """Without a GPU: weights, gradients and Adam's two states in float32; vLLM's weights twice, and its cache."""
    own = recipe(bf16=False, optimizer="adamw_torch")
    found = main_memory(own, Machine(0), SHAPE)
    assert found.lasting == (4 + 4 + 8) * P + LIBRARIES and found.server == 8 * P + GIB + SERVER
    assert found.least == 24 * P + 4 * GIB < found.most and found.cache == GIB
    assert main_memory(own, Machine(0, 2, nodes=2, rank=1), SHAPE).server == 0, "vLLM runs on the first machine"


def test_each_process_has_a_whole_copy_and_ddp_its_buckets(recipe):
    one, four = (main_memory(recipe(bf16=False, optimizer="adamw_torch"), Machine(0, n), SHAPE) for n in (1, 4))
    assert four.lasting == 4 * (4 + 8 + 8) * P + LIBRARIES + 3 * UNSHARED and four.passing == 4 * one.passing
    assert four.server == one.server


def test_fsdp_divides_and_its_offloading_saves_nothing_without_a_gpu(recipe):
    changes = {"bf16": False, "optimizer": "adamw_torch", "gradient_accumulation_steps": 1}
    kept = main_memory(recipe(**changes, fsdp_config={"fsdp_version": 2}), Machine(0, 2), SHAPE)
    config = {"fsdp_version": 2, "offload_params": True}
    assert main_memory(recipe(**changes, fsdp_config=config), Machine(0, 2), SHAPE) == kept
    assert kept.lasting == LIBRARIES + UNSHARED + (4 + 4 + 8) * P


@pytest.mark.parametrize(
    ("changes", "cache", "weight_bytes"),
    [
        ({"vllm": {"dtype": "bfloat16"}}, GIB, 2),
        ({"vllm": {"dtype": "auto"}}, GIB, 4),
        ({"rollout": {"env": {"VLLM_CPU_KVCACHE_SPACE": "6"}}}, 6 * GIB, 4),
        ({"rollout": {"env": {"VLLM_CPU_KVCACHE_SPACE": "0"}}}, 0, 4),
    ],
)
def test_vllms_number_format_and_cache_are_those_of_the_recipe(recipe, changes, cache, weight_bytes):
    found = main_memory(recipe(bf16=False, **changes), Machine(0), SHAPE)
    assert (found.server, found.cache) == (2 * weight_bytes * P + cache + SERVER, cache)


@pytest.mark.parametrize(
    ("groups", "folder", "name"),
    [
        ("1:cpu:/\n4:memory:/outer/inner\n0::/\n", "memory/outer", "memory.limit_in_bytes"),
        ("0::/outer/inner\n", "outer", "memory.max"),
        ("0::/outer/inner\n", "outer/inner", "memory.max"),
        ("0::/\n", "", "memory.max"),
    ],
)
def test_the_memory_of_this_machine_or_container(tmp_path, monkeypatch, groups, folder, name):
    monkeypatch.setattr(module, "_CGROUPS", tmp_path)
    monkeypatch.setattr(module, "_OF_PROCESS", tmp_path / "own")
    whole = installed()
    assert whole and whole > 2**28
    (tmp_path / "own").write_text(groups)
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    limit = tmp_path / folder / name
    limit.write_text("max\n")
    assert installed() == whole
    limit.write_text("1000000\n")
    assert installed() == 1_000_000
