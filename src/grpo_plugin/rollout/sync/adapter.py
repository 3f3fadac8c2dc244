"""The LoRA adapter alone to a vLLM on the same machine, which applies it to the base weights that it keeps."""

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from peft import LoraConfig, PeftModel
from safetensors.torch import save_file
from torch import Tensor, nn

from grpo_plugin.errors import RolloutError
from grpo_plugin.rollout.client.failures import ServerGone
from grpo_plugin.rollout.client.http import Client
from grpo_plugin.rollout.server.handle import ServerHandle
from grpo_plugin.rollout.sync.base import SyncFailed, raise_on_every_rank
from grpo_plugin.rollout.sync.shared_folder import shared_folder
from grpo_plugin.rollout.sync.weights import adapter_tensors

# What vLLM's LoRA cannot express, and how a recipe of Axolotl's asks for it.
UNSUPPORTED = {
    "use_dora": "peft_use_dora",
    "modules_to_save": "lora_modules_to_save",
    "trainable_token_indices": "peft_trainable_token_indices",
    "target_parameters": "lora_target_parameters",
}
INIT_KEEPING_BASE = ("gaussian", "eva", "orthogonal")
"""Values of peft_init_lora_weights that leave the base weights, of which vLLM keeps its own, as they are."""


class AdapterTransport:
    """Each version is an adapter of its own name in vLLM, so that no cached prefix of an older one is reused."""

    def __init__(self, server: ServerHandle | None, accelerator: Accelerator, timeout: float) -> None:
        """`server` is None on every rank but the main one; `timeout`: seconds to load an adapter."""
        self._server = server
        self._accelerator = accelerator
        self._timeout = timeout
        self.model_name: str | None = None
        """The model name to request; None (the base model) until the first push."""

    def push(self, model: nn.Module, version: int) -> None:
        """See `WeightTransport.push`."""
        with raise_on_every_rank(self._accelerator):
            config = _config(self._accelerator.unwrap_model(model))
            tensors = adapter_tensors(model)
            try:
                if self._server is not None:
                    self._send(self._server, tensors, config, version)
            finally:
                # Gathering is collective: the other ranks, and this one after an error, run it to the end.
                deque(tensors, maxlen=0)

    def close(self) -> None:
        """Nothing is held between two pushes."""

    def _send(
        self, server: ServerHandle, tensors: Iterator[tuple[str, Tensor]], config: LoraConfig, version: int
    ) -> None:
        # Copied, because sharded matrices are gone from their storage when the next layer is gathered.
        matrices = {key: tensor.to("cpu", copy=True).contiguous() for key, tensor in tensors}
        name = f"policy-v{version}"
        with shared_folder(server.run_dir, name, sum(tensor.nbytes for tensor in matrices.values())) as folder:
            save_file(matrices, folder / "adapter_model.safetensors")
            config.save_pretrained(str(folder))
            try:
                self._load(server.client, name, folder, version)
            except ServerGone as error:
                raise SyncFailed(f"vLLM did not load version {version} of the adapter: {error}") from error

    def _load(self, client: Client, name: str, folder: Path, version: int) -> None:
        request = {"lora_name": name, "lora_path": str(folder)}
        client.post("/v1/load_lora_adapter", request, set_version=version, timeout=self._timeout)
        client.use_adapter(name)
        if self.model_name is not None:
            client.post("/v1/unload_lora_adapter", {"lora_name": self.model_name})
        self.model_name = name


def _config(model: Any) -> LoraConfig:
    """The configuration of the one active adapter.

    Raises:
        RolloutError: when there is none, or vLLM cannot apply it.
    """
    if not isinstance(model, PeftModel) or not isinstance(config := model.active_peft_config, LoraConfig):
        raise RolloutError("rollout.lora: adapter needs a recipe that trains one (adapter: lora); drop rollout.lora.")
    for field, key in UNSUPPORTED.items():
        if getattr(config, field, None):
            raise RolloutError(f"rollout.lora: vLLM cannot apply an adapter with {key}; set rollout.lora: merged.")
    if isinstance(start := config.init_lora_weights, str) and start not in INIT_KEEPING_BASE:
        raise RolloutError(
            f"rollout.lora: peft_init_lora_weights: {start} changes the base weights, which an adapter alone does not "
            "carry; set rollout.lora: merged."
        )
    return config
