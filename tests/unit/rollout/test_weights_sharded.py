"""Weights sharded over two processes arrive whole and exact (gloo on CPU, where FSDP works as on GPUs)."""

import functools
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.distributed.fsdp.wrap import transformer_auto_wrap_policy
from torch.multiprocessing.spawn import spawn
from transformers import Qwen2Config, Qwen2ForCausalLM
from transformers.models.qwen2.modeling_qwen2 import Qwen2DecoderLayer

from grpo_plugin.rollout.sync.weights import named_tensors


def tiny(tied: bool, adapter: bool) -> nn.Module:
    torch.manual_seed(0)
    model: nn.Module = Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=31,  # odd, so that no rank has an even share
            hidden_size=16,
            intermediate_size=24,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            tie_word_embeddings=tied,
        )
    )
    if adapter:
        model = get_peft_model(model, LoraConfig(r=3, target_modules=["q_proj", "down_proj"], use_dora=True))
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data += 0.1 * torch.randn_like(parameter)
    return model


def sent(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in named_tensors(model)}


def fsdp1(model: nn.Module, original: bool) -> nn.Module:
    policy = functools.partial(transformer_auto_wrap_policy, transformer_layer_cls={Qwen2DecoderLayer})
    return FullyShardedDataParallel(
        model, auto_wrap_policy=policy, use_orig_params=original, device_id=torch.device("cpu")
    )


def fsdp2(model: nn.Module) -> nn.Module:
    mesh = init_device_mesh("cpu", (2,))
    for module in model.modules():
        if isinstance(module, Qwen2DecoderLayer):
            fully_shard(module, mesh=mesh)
    fully_shard(model, mesh=mesh)
    return model


def zero3(model: nn.Module) -> nn.Module:
    import deepspeed

    config = {
        "train_micro_batch_size_per_gpu": 1,
        "optimizer": {"type": "Adam", "params": {"torch_adam": True}},
        "zero_optimization": {"stage": 3, "stage3_param_persistence_threshold": 0},
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
    }
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return deepspeed.initialize(model=model, model_parameters=trained, config=config)[0]


Cases = dict[str, tuple[bool, bool, Callable[[nn.Module], nn.Module]]]

FSDP: Cases = {
    "fsdp1": (False, False, functools.partial(fsdp1, original=True)),
    "fsdp1 flat, tied": (True, False, functools.partial(fsdp1, original=False)),
    "fsdp1 dora": (False, True, functools.partial(fsdp1, original=True)),
    "fsdp2": (False, False, fsdp2),
    "fsdp2 tied": (True, False, fsdp2),
    "fsdp2 dora": (False, True, fsdp2),
}


ZERO3: Cases = {
    "zero3": (False, False, zero3),
    "zero3 tied": (True, False, zero3),
    "zero3 dora": (False, True, zero3),
}


def compare(rank: int, cases: Cases, rendezvous: Path) -> None:
    os.environ |= {"DS_ACCELERATOR": "cpu", "LOCAL_RANK": str(rank)}
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=2)
    for case, (tied, adapter, shard) in cases.items():
        whole = sent(tiny(tied, adapter))
        model = shard(tiny(tied, adapter))
        for attempt in (1, 2):  # the second shows that the first left the shards as they were
            gathered = sent(model)
            assert gathered.keys() == whole.keys(), (case, attempt, gathered.keys() ^ whole.keys())
            for name, tensor in whole.items():
                assert torch.equal(gathered[name], tensor), (case, attempt, name)
        model(torch.arange(8)[None]).logits.sum().backward()
    dist.destroy_process_group()


@pytest.mark.timeout(120)
def test_fsdp_gathers_what_an_unsharded_model_sends(tmp_path: Path) -> None:
    spawn(compare, args=(FSDP, tmp_path / "rendezvous"), nprocs=2)


@pytest.mark.slow
def test_zero3_gathers_what_an_unsharded_model_sends(tmp_path: Path) -> None:
    pytest.importorskip("deepspeed", reason="needs the extra: pip install 'grpo-plugin[deepspeed]'")
    spawn(compare, args=(ZERO3, tmp_path / "rendezvous"), nprocs=2)
