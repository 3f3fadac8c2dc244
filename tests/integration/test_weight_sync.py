"""A real vLLM on CPU has the trainer's weights after a push, and the canary sees when it has not."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from accelerate import Accelerator
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

from grpo_plugin.errors import RolloutError
from grpo_plugin.rollout.client.failures import StaleWeights
from grpo_plugin.rollout.logp_gap import check
from grpo_plugin.rollout.server.handle import ServerHandle
from grpo_plugin.rollout.sync import file
from grpo_plugin.rollout.sync.adapter import AdapterTransport
from grpo_plugin.rollout.sync.base import SyncFailed
from grpo_plugin.rollout.sync.file import FileTransport
from tests.agreement import ROUNDING, gap, perturb, serving
from tests.shared_memory import folders_of
from tests.tiny import make_model

pytestmark = pytest.mark.slow

LIMIT = 1e-3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("untied"))


@pytest.fixture(scope="module")
def handle(folder: Path) -> Iterator[ServerHandle]:
    with serving(folder, {"lora": "adapter"}, adapter="lora", lora_r=8) as running:
        yield running


@pytest.fixture
def model(folder: Path) -> nn.Module:
    return AutoModelForCausalLM.from_pretrained(folder)


@pytest.fixture
def accelerator() -> Accelerator:
    return Accelerator(cpu=True)


def test_a_fresh_server_agrees(handle: ServerHandle, model: nn.Module) -> None:
    assert gap(model, handle, 0).max < ROUNDING


def test_every_push_arrives(handle: ServerHandle, model: nn.Module, accelerator: Accelerator) -> None:
    transport = FileTransport(handle, accelerator, timeout=60.0)
    for version in (1, 2, 3):
        perturb(model, version)
        transport.push(model, version)
        assert gap(model, handle, version).max < ROUNDING
        assert folders_of(handle.run_dir) == []


def test_completions_of_other_weights_are_refused(
    handle: ServerHandle, model: nn.Module, accelerator: Accelerator
) -> None:
    FileTransport(handle, accelerator, timeout=60.0).push(model, 4)
    with pytest.raises(StaleWeights):
        gap(model, handle, 5)


def test_a_merged_adapter_arrives(handle: ServerHandle, model: nn.Module, accelerator: Accelerator) -> None:
    adapted = get_peft_model(model, LoraConfig(r=4, target_modules=["q_proj", "down_proj", "lm_head"], use_dora=True))
    perturb(adapted, 6)
    FileTransport(handle, accelerator, timeout=60.0).push(adapted, 6)
    assert gap(adapted, handle, 6).max < ROUNDING


def test_the_adapter_alone_arrives(handle: ServerHandle, model: nn.Module, accelerator: Accelerator) -> None:
    FileTransport(handle, accelerator, timeout=60.0).push(model, 7)
    adapted = get_peft_model(model, LoraConfig(r=4, lora_alpha=9, target_modules=["q_proj", "down_proj"]))
    transport = AdapterTransport(handle, accelerator, timeout=60.0)
    try:
        for version in (8, 9):
            perturb(adapted, version)
            transport.push(adapted, version)
            assert transport.model_name == f"policy-v{version}"
            assert gap(adapted, handle, version).max < ROUNDING
        served = {entry["id"] for entry in handle.client.get("/v1/models")["data"]}
        assert {name for name in served if name.startswith("policy")} == {"policy-v9"}
        assert folders_of(handle.run_dir) == []
    finally:
        handle.client.use_adapter(None)


@pytest.mark.parametrize("how", ["an old tensor among new ones", "a tensor left out"])
def test_the_canary_sees_a_push_that_vllm_took_for_good(
    how: str, handle: ServerHandle, model: nn.Module, accelerator: Accelerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    FileTransport(handle, accelerator, timeout=60.0).push(model, 10)
    named = "model.layers.1.mlp.down_proj.weight"
    old = model.get_parameter(named).detach().clone()
    perturb(model, 11)

    def broken(policy: nn.Module, **options: Any) -> Iterator[tuple[str, Tensor]]:
        for name, tensor in named_tensors(policy, **options):
            if name != named:
                yield name, tensor
            elif how.startswith("an old"):
                yield name, old

    named_tensors = file.named_tensors
    monkeypatch.setattr(file, "named_tensors", broken)
    FileTransport(handle, accelerator, timeout=60.0).push(model, 11)
    with pytest.raises(RolloutError, match=r"rollout.max_logp_gap: vLLM and the trainer disagree on version 11"):
        check(gap(model, handle, 11), LIMIT, version=11)


def test_a_truncated_shard_fails_the_push_and_the_server_refuses_to_generate(
    handle: ServerHandle, model: nn.Module, accelerator: Accelerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def truncated(tensors: dict[str, Tensor], path: Path) -> None:
        save_file(tensors, path)
        os.truncate(path, path.stat().st_size // 2)

    monkeypatch.setattr(file, "save_file", truncated)
    with pytest.raises(SyncFailed, match="vLLM did not load version 12 of the weights"):
        FileTransport(handle, accelerator, timeout=60.0).push(model, 12)
    assert folders_of(handle.run_dir) == []
    for version in (11, 12):
        with pytest.raises(RolloutError):
            gap(model, handle, version)


def test_tied_embeddings_arrive_on_the_cpu_backend(tmp_path: Path, accelerator: Accelerator) -> None:
    """vLLM's own reload keeps the old output head there and answers 200; the worker extension packs it again."""
    folder = make_model(tmp_path, tied=True, vocabulary=49_152, hidden=576, heads=(9, 3))
    model = AutoModelForCausalLM.from_pretrained(folder)
    with serving(folder) as handle:
        transport = FileTransport(handle, accelerator, timeout=60.0)
        for version in (1, 2, 3, 4):
            perturb(model, version)
            transport.push(model, version)
            # This model's logits are tens of nats wide: rounding reaches 1e-4, an old head is off by 0.1 and more.
            assert gap(model, handle, version).max < 5 * ROUNDING
        perturb(model, 5)
        assert handle.server is not None
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(handle), "reload_method", "reload_weights")
            transport.push(model, 5)
        with pytest.raises(RolloutError, match="tied embeddings on a CPU server"):
            check(gap(model, handle, 5), LIMIT, version=5)
