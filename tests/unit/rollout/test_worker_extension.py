"""Which layers vLLM's reload leaves with a packed copy of old weights; tests/integration asks a real vLLM."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from grpo_plugin.rollout.server.gate.grpo_worker import WeightReload, packed_and_tied


class Pack:
    """vLLM's quantisation method of a layer on CPU: `cpu_linear` multiplies by a copy made when it was packed."""

    def process_weights_after_loading(self, layer: Any) -> None:
        packed = layer.weight.detach().clone()
        layer.cpu_linear = lambda x: x @ packed.T


class Layer(nn.Module):
    def __init__(self, weight: nn.Parameter) -> None:
        super().__init__()
        self.weight = weight
        self.quant_method = Pack()
        self.quant_method.process_weights_after_loading(self)


def model(tied: bool) -> nn.ModuleDict:
    embeddings, other = (nn.Parameter(torch.ones(3, 2), requires_grad=False) for _ in range(2))
    head = Layer(embeddings if tied else other)
    return nn.ModuleDict({"norm": nn.LayerNorm(2), "embed_tokens": Layer(embeddings), "lm_head": head})


class Worker(WeightReload):
    """As vLLM's reload does: the layer that the checkpoint names has new weights and a new packed copy."""

    def __init__(self, policy: nn.ModuleDict) -> None:
        self.policy = policy
        self.model_runner = self

    def get_model(self) -> nn.ModuleDict:
        return self.policy

    def reload_weights(self, weights_path: str) -> None:
        layer: Any = self.policy["embed_tokens"]
        layer.weight.data.copy_(torch.load(weights_path))
        layer.quant_method.process_weights_after_loading(layer)


def logits(policy: nn.ModuleDict) -> Tensor:
    head: Any = policy["lm_head"]
    return head.cpu_linear(torch.ones(1, 2))


def test_the_output_head_of_tied_embeddings_multiplies_by_the_new_weights(tmp_path: Path) -> None:
    policy, new = model(tied=True), torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    torch.save(new, tmp_path / "weights")
    Worker(policy).reload_weights(str(tmp_path / "weights"))
    assert logits(policy).tolist() == [[2.0, 2.0, 2.0]], "what is worked around"
    Worker(policy).reload_weights_and_repack(str(tmp_path / "weights"))
    assert logits(policy).tolist() == [[3.0, 7.0, 11.0]]


def test_layers_with_weights_of_their_own_are_left_alone() -> None:
    assert list(packed_and_tied(model(tied=False))) == []


def test_a_gpu_server_that_packs_nothing_is_left_alone() -> None:
    weight = nn.Parameter(torch.ones(3, 2))
    plain = nn.ModuleDict({name: nn.Linear(2, 3) for name in ("embed_tokens", "lm_head")})
    for layer in plain.values():
        layer.weight = weight
    assert list(packed_and_tied(plain)) == []
