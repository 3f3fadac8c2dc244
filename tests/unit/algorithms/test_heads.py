import copy

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn

from grpo_plugin.algorithms.heads import head_divergence, head_logprobs
from grpo_plugin.algorithms.kl import kl
from grpo_plugin.errors import RecipeError

HEAD = {"temperature": 0.7, "softcap": 2.0}
TARGETS = torch.tensor([0, 4, 2, 4, 1])


class Wrapped(nn.Module):
    """Not a linear layer, but the same mathematics: as an adapter around one is."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.layer, self.out_features = layer, layer.out_features

    def forward(self, hidden: Tensor) -> Tensor:
        return self.layer(hidden)


@pytest.fixture
def layer() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(3, 6).double()


@pytest.fixture
def hidden() -> Tensor:
    return torch.randn(5, 3, generator=torch.Generator().manual_seed(0)).double().requires_grad_()


def gradients(logps: Tensor, entropies: Tensor, *inputs: Tensor) -> list[Tensor]:
    return [logps, entropies, *torch.autograd.grad(logps.square().sum() + entropies.sum(), inputs)]


def test_any_head_gives_what_a_linear_layer_gives(layer: nn.Linear, hidden: Tensor) -> None:
    inputs = (hidden, layer.weight, layer.bias)
    linear = gradients(*head_logprobs(layer, hidden, TARGETS, chunk=2, **HEAD), *inputs)
    wrapped = gradients(*head_logprobs(Wrapped(layer), hidden, TARGETS, chunk=2, **HEAD), *inputs)
    for ours, theirs in zip(linear, wrapped, strict=True):
        assert torch.allclose(ours, theirs)


def test_what_hangs_on_the_layers_calls_happens_once(layer: nn.Linear, hidden: Tensor) -> None:
    calls: list[str] = []
    layer.register_forward_pre_hook(lambda *_: calls.append("before"))
    layer.register_forward_hook(lambda *_: calls.append("after"))
    head_logprobs(layer, hidden, TARGETS, chunk=1)
    assert calls == ["before", "after"]
    assert torch.equal(layer(hidden), nn.functional.linear(hidden, layer.weight, layer.bias))


def test_a_forward_of_the_layers_own_is_put_back(layer: nn.Linear, hidden: Tensor) -> None:
    layer.forward = lambda argument: argument * 2  # type: ignore[method-assign]
    head_logprobs(layer, hidden, TARGETS)
    assert torch.equal(layer(hidden), hidden * 2)


@pytest.mark.parametrize(
    "settings", [{"target_modules": ["head"]}, {"modules_to_save": ["head"], "target_modules": ["up"]}]
)
def test_adapters_on_the_head_take_part(settings: dict[str, list[str]], hidden: Tensor) -> None:
    torch.manual_seed(0)
    model = nn.ModuleDict({"up": nn.Linear(3, 3), "head": nn.Linear(3, 6)})
    model.forward = lambda states: model["head"](model["up"](states))  # type: ignore[method-assign]
    adapted = get_peft_model(model, LoraConfig(r=2, init_lora_weights=False, **settings)).base_model.model.double()
    head = adapted["head"]
    for parameter in head.parameters():
        nn.init.normal_(parameter)
    logps, _ = head_logprobs(head, hidden, TARGETS, chunk=2)
    assert torch.allclose(logps, head(hidden).log_softmax(-1).gather(1, TARGETS.unsqueeze(1)).squeeze(1))


@pytest.mark.parametrize("autocast", [False, True])
def test_a_head_in_fp32_rounds_nothing(autocast: bool) -> None:
    """16-bit weights and states, as trained, and logits as if they were fp32; gradients keep the weights' type."""
    torch.manual_seed(0)
    head, states = nn.Linear(64, 50).bfloat16(), torch.randn(5, 64).bfloat16().requires_grad_()
    targets = torch.arange(5) * 9
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        logps, _ = head_logprobs(head, states, targets, fp32=True)
        rounded, _ = head_logprobs(head, states, targets)
    logits = nn.functional.linear(states.float(), head.weight.float(), head.bias.float())
    expected = logits.log_softmax(-1)[torch.arange(5), targets]
    assert torch.allclose(logps, expected, atol=1e-6)
    assert (rounded - expected).abs().max() > 1e-4
    logps.sum().backward()
    assert head.weight.grad is not None
    assert head.weight.grad.dtype == torch.bfloat16


def test_a_head_with_an_adapter_cannot_be_in_fp32(layer: nn.Linear, hidden: Tensor) -> None:
    with pytest.raises(RecipeError, match="cast_lm_head_to_fp32: true needs a plain linear output head"):
        head_logprobs(Wrapped(layer), hidden, TARGETS, fp32=True)


def test_divergence_of_whole_distributions(layer: nn.Linear, hidden: Tensor) -> None:
    reference = copy.deepcopy(layer)
    nn.init.normal_(reference.weight)

    def scaled(head: nn.Linear) -> Tensor:
        return 2.0 * torch.tanh(head(hidden) / 2.0) / 0.7

    ref_hidden = hidden.detach().clone()  # finite differences change `hidden` in place
    values = head_divergence(layer, hidden, reference, ref_hidden, chunk=2, **HEAD)
    expected = kl(scaled(layer), scaled(reference), "full")
    assert torch.allclose(values, expected)
    (ours,) = torch.autograd.grad(values.sum(), layer.weight)
    (theirs,) = torch.autograd.grad(expected.sum(), layer.weight)
    assert torch.allclose(ours, theirs)
    assert torch.autograd.gradcheck(lambda x: head_divergence(layer, x, reference, ref_hidden, chunk=2), (hidden,))
