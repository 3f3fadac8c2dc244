"""The adapter as vLLM reads it, one name per version, and recipes it cannot serve."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import Qwen2Config, Qwen2ForCausalLM

from grpo_plugin.errors import RolloutError
from grpo_plugin.rollout.client.http import Client
from grpo_plugin.rollout.sync.adapter import AdapterTransport
from grpo_plugin.rollout.sync.base import SyncFailed
from tests.shared_memory import folders_of
from tests.unit.rollout.recording import Recorded, recording


def adapted(**options: Any) -> nn.Module:
    sizes = {"vocab_size": 16, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 2}
    base = Qwen2ForCausalLM(Qwen2Config(**sizes, num_attention_heads=2, num_key_value_heads=2))
    return get_peft_model(base, LoraConfig(r=2, lora_alpha=6, target_modules=["q_proj", "up_proj"], **options))


@pytest.fixture
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("grpo-test-")
    yield folder
    assert folders_of(folder) == []


def transport(server: Recorded, run_dir: Path) -> AdapterTransport:
    handle: Any = SimpleNamespace(client=Client(server.address), run_dir=run_dir)
    return AdapterTransport(handle, Accelerator(cpu=True), timeout=10.0)


def test_the_folder_is_what_peft_would_save(run_dir: Path) -> None:
    seen: dict[str, Any] = {}

    def answer(path: str, body: Any) -> tuple[int, Any]:
        if path == "/v1/load_lora_adapter":
            folder = Path(body["lora_path"])
            seen["tensors"] = load_file(folder / "adapter_model.safetensors")
            seen["config"] = json.loads((folder / "adapter_config.json").read_text())
        return 200, {}

    model = adapted()
    with recording(answer) as server:
        transport(server, run_dir).push(model, 1)
    expected: dict[str, Tensor] = get_peft_model_state_dict(model)
    assert seen["tensors"].keys() == expected.keys()
    assert all(torch.equal(seen["tensors"][name], tensor) for name, tensor in expected.items())
    assert (seen["config"]["r"], seen["config"]["lora_alpha"]) == (2, 6)
    assert sorted(seen["config"]["target_modules"]) == ["q_proj", "up_proj"]


def test_a_version_is_loaded_before_the_one_before_is_dropped(run_dir: Path) -> None:
    with recording() as server:
        pushing = transport(server, run_dir)
        assert pushing.model_name is None
        for version in (1, 2):
            pushing.push(adapted(), version)
            assert pushing.model_name == f"policy-v{version}"
    names = [(path, body["lora_name"], version) for path, body, version in server.calls]
    assert names == [
        ("/v1/load_lora_adapter", "policy-v1", "1"),
        ("/v1/load_lora_adapter", "policy-v2", "2"),
        ("/v1/unload_lora_adapter", "policy-v1", None),
    ]
    paths = [body["lora_path"] for path, body, _ in server.calls if path.endswith("/load_lora_adapter")]
    assert len(set(paths)) == 2


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"use_dora": True}, "peft_use_dora"),
        ({"modules_to_save": ["lm_head"]}, "lora_modules_to_save"),
        ({"trainable_token_indices": [1]}, "peft_trainable_token_indices"),
        ({"init_lora_weights": "olora"}, "peft_init_lora_weights: olora"),
    ],
)
def test_what_vllm_cannot_apply_stops_before_anything_is_sent(options: dict[str, Any], key: str, run_dir: Path) -> None:
    with recording() as server, pytest.raises(RolloutError, match=f"{key}.*; set rollout.lora: merged"):
        transport(server, run_dir).push(adapted(**options), 1)
    assert server.calls == []


def test_a_model_without_an_adapter_is_refused(run_dir: Path) -> None:
    model = adapted().base_model.model  # still has the layers, but is no PEFT model
    with recording() as server, pytest.raises(RolloutError, match=r"needs a recipe that trains one \(adapter: lora\)"):
        transport(server, run_dir).push(model, 1)


@pytest.mark.parametrize(("status", "kind"), [(500, SyncFailed), (400, RolloutError)])
def test_only_a_server_that_broke_is_a_failed_sync(status: int, kind: type[Exception], run_dir: Path) -> None:
    refusal = pytest.raises(RolloutError, match="rank 2 is over 1")
    with recording(lambda path, body: (status, {"error": "rank 2 is over 1"})) as server, refusal as caught:
        transport(server, run_dir).push(adapted(), 1)
    assert type(caught.value) is kind
