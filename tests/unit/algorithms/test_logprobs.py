import pytest
import torch
from torch import Tensor

from grpo_plugin.algorithms.logprobs import token_logprobs

HEADS = [{}, {"temperature": 0.7}, {"softcap": 2.0}, {"softcap": 2.0, "temperature": 1.3}]


def case(
    dtype: torch.dtype, tokens: int = 4, hidden: int = 3, vocabulary: int = 5
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Hidden states, head weight and bias with gradient, and targets; every other target appears twice."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(tokens, hidden), (vocabulary, hidden), (vocabulary,)]
    states, weight, bias = (torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes)
    targets = torch.randint(0, vocabulary // 2, (tokens,), generator=generator)
    return states.requires_grad_(), weight.requires_grad_(), bias.requires_grad_(), targets


def whole(
    states: Tensor,
    weight: Tensor,
    bias: Tensor,
    targets: Tensor,
    temperature: float = 1.0,
    softcap: float | None = None,
) -> tuple[Tensor, Tensor]:
    logits = states @ weight.T + bias
    if softcap is not None:
        logits = softcap * torch.tanh(logits / softcap)
    log_p = torch.log_softmax(logits / temperature, -1)
    return log_p.gather(1, targets.unsqueeze(1)).squeeze(1), -(log_p.exp() * log_p).sum(1)


@pytest.mark.parametrize("head", HEADS, ids=str)
@pytest.mark.parametrize("chunk", [1, 3, 7, 100, None])
def test_chunked_is_whole_in_value_and_gradient(head: dict[str, float], chunk: int | None) -> None:
    states, weight, bias, targets = case(torch.float32, tokens=7, hidden=16, vocabulary=300)
    results = []
    for logps, entropies in (
        token_logprobs(states, weight, targets, bias=bias, chunk=chunk, **head),
        whole(states, weight, bias, targets, **head),
    ):
        gradients = torch.autograd.grad(logps.square().mean() + 0.3 * entropies.mean(), (states, weight, bias))
        results.append((logps, entropies, *gradients))
    for ours, theirs in zip(*results, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("head", HEADS, ids=str)
def test_gradients_match_finite_differences(head: dict[str, float]) -> None:
    states, weight, bias, targets = case(torch.float64)
    assert torch.autograd.gradcheck(
        lambda s, w, b: token_logprobs(s, w, targets, bias=b, chunk=2, **head), (states, weight, bias)
    )


@pytest.mark.parametrize("output", [0, 1], ids=["log-probability", "entropy"])
def test_either_output_alone_has_a_gradient(output: int) -> None:
    states, weight, _, targets = case(torch.float64)
    assert torch.autograd.gradcheck(lambda s: token_logprobs(s, weight, targets, chunk=3)[output], (states,))


def test_a_frozen_head_gets_no_gradient() -> None:
    states, weight, _, targets = case(torch.float32)
    logps, _ = token_logprobs(states, weight.detach(), targets, chunk=2)
    logps.sum().backward()
    assert states.grad is not None
    assert weight.grad is None


def test_probabilities_of_certainty_and_of_ignorance() -> None:
    """Logits (50, 0): log 1 and entropy 0. Logits (0, 0): log 1/2 and entropy log 2."""
    states, weight = torch.tensor([[50.0], [0.0]]), torch.tensor([[1.0], [0.0]])
    logps, entropies = token_logprobs(states, weight, torch.tensor([0, 1]), chunk=1)
    assert logps.tolist() == pytest.approx([0.0, -0.6931472])
    assert entropies.tolist() == pytest.approx([0.0, 0.6931472], abs=1e-7)


def test_no_token_at_all() -> None:
    states, weight, _, targets = case(torch.float32, tokens=0)
    logps, entropies = token_logprobs(states, weight, targets)
    logps.sum().backward()
    assert logps.shape == entropies.shape == (0,)
    assert weight.grad is not None
    assert not weight.grad.any()


def test_half_precision_states_give_full_precision_sums() -> None:
    states, weight, _, targets = case(torch.bfloat16, tokens=64, hidden=16, vocabulary=500)
    logps, entropies = token_logprobs(states, weight, targets, chunk=8)
    exact, exact_entropies = whole(states.double(), weight.double(), torch.zeros(500).double(), targets)
    assert logps.dtype == entropies.dtype == torch.float32
    assert (logps - exact).abs().max() < 0.1  # logits of up to 16 rounded to bf16
    assert (entropies - exact_entropies).abs().max() < 0.1
    (ours,) = torch.autograd.grad(logps.sum(), weight)
    (theirs,) = torch.autograd.grad(exact.sum(), weight)
    assert ours.dtype == torch.bfloat16
    assert (ours - theirs).norm() < 0.01 * theirs.norm()


def test_autocast_runs_the_head_in_its_type_and_returns_gradients_in_the_weights() -> None:
    states, weight, _, targets = case(torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logps, _ = token_logprobs(states, weight, targets, chunk=2)
    logps.sum().backward()
    expected, _ = token_logprobs(states.bfloat16(), weight.bfloat16(), targets)
    assert torch.equal(logps, expected)
    assert weight.grad is not None
    assert weight.grad.dtype == torch.float32


def test_the_logits_of_all_tokens_never_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    """The largest tensor made on the way, forward and backward, is the chunk's or the weight's."""
    states, weight, _, targets = case(torch.float32, tokens=64, hidden=4, vocabulary=100)
    sizes: list[int] = []

    class Watch(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, function, types, arguments=(), keywords=None):  # type: ignore[no-untyped-def]
            result = function(*arguments, **(keywords or {}))
            sizes.extend(
                part.numel() for part in (result if isinstance(result, tuple) else [result]) if isinstance(part, Tensor)
            )
            return result

    with Watch():
        logps, _ = token_logprobs(states, weight, targets, chunk=5)
        logps.sum().backward()
    assert max(sizes) == 5 * 100
