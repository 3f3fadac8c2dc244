"""Which layout holds for a model: each is compared with the model's own forward on each sequence alone.

Layers that have a state may mix packed sequences, and a model may change its logits in a way that `logits` does not
know. Neither raises an error, so that the run compares once, before its first step.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from grpo_plugin.algorithms.forward import completion_logprobs
from grpo_plugin.algorithms.layouts import LAYOUTS
from grpo_plugin.algorithms.packing import Packed, pack
from grpo_plugin.errors import RecipeError

# Nats per token by which two ways to compute the same may differ, by the type the model computes in. The first sequence
# of a pack has none before it, so that its gap is noise alone: others may have `NOISE` times as much, up to the second
# figure; the first figure is allowed in any case. benchmarks/layouts.py measures noise and leaks; see docs/verified.md.
TOLERANCES = {
    torch.float64: (1e-6, 1e-6),
    torch.float32: (1e-3, 2e-3),
    torch.bfloat16: (0.01, 0.05),
    torch.float16: (4e-3, 0.02),
}
NOISE = 3
# Sequences shorter than a chunk would agree, until a pack is longer than one.
CHUNKS = "its attention counts chunks from the first token of a pack"
# In half precision a small leak may lie within noise (RecurrentGemma's convolution).
STATE = "its layers carry a state, and the bounds of sequences change nothing"
FIRST = 8  # tokens of a sequence in which what comes before it shows most

_COSTS = {
    "packed_mask": "attention goes by a mask over all pairs of a micro-batch's tokens, whose memory grows with their "
    "square",
    "alone": "sequences run one at a time; short ones leave the device idle",
    "padded": "sequences run padded to the longest of their micro-batch, with work on padding",
}


class Wrapped(NamedTuple):
    """How a model is called that has a wrapper (DDP, FSDP, DeepSpeed), on several ranks.

    Attributes:
        call: calls a function with the model, inside the wrapper's forward. Each pass has a call of its own: after
            one, FSDP frees the weights that it gathered.
        agree: returns the main process's argument on every rank, so that all try the same layouts.
        device: where it computes; its weights may be elsewhere.
    """

    call: Callable[[Callable[[Any], Any]], Any]
    agree: Callable[[Any], Any]
    device: torch.device


class Choice(NamedTuple):
    """A layout, and why not another.

    Attributes:
        layout: one of `layouts.LAYOUTS`.
        gap: its largest difference to the model's own log-probabilities, in nats per token.
        passed_over: layouts that come before it, with their gap, or what they raised.
    """

    layout: str
    gap: float
    passed_over: Mapping[str, float | str]

    def note(self) -> str | None:
        """What the layout costs, in a sentence; None where it costs nothing."""
        if self.layout not in _COSTS:
            return None
        reasons = _listed(self.passed_over)
        return f"{_COSTS[self.layout]}: end to end, this model's log-probabilities are wrong ({reasons})."


def choose_layout(
    model: nn.Module,
    sequences: Sequence[Sequence[int]],
    *,
    among: Sequence[str] = tuple(LAYOUTS),
    reference: Callable[[Any, Tensor], Tensor] | None = None,
    tolerance: float | None = None,
    wrapped: Wrapped | None = None,
) -> Choice:
    """The first layout whose log-probabilities are the model's own.

    Runs each sequence once by itself, and all of them in each layout until one agrees, without gradients and dropout.

    Args:
        model: an unwrapped `…ForCausalLM`, adapters in place.
        sequences: token ids of two or more, at least two tokens each; some of the run's own prompts.
        among: the layouts to try, in this order. Leave out `alone` where weights are shared over ranks, which must run
            as many passes as each other.
        reference: logits (n, V) of the model for the ids (n,) of one sequence; by default its own forward.
        tolerance: nats per token; by default as `TOLERANCES` says for the type of the logits.
        wrapped: how the model is called where it has a wrapper; the sequences are the same on every rank.

    Raises:
        RecipeError: none agrees; the sentence names the gaps.
    """
    call, agree, device = wrapped or Wrapped(lambda work: work(model), lambda found: found, _device(model))
    rows = [torch.tensor(ids, device=device) for ids in sequences]
    batch = packed(rows)
    with torch.no_grad(), _without_dropout(model):
        logits = [call(partial(_of_row, reference or own_logits, row)) for row in rows]
        logits_type = logits[0].dtype
        least, most = TOLERANCES[logits_type] if tolerance is None else (tolerance, tolerance)
        own = [logprobs(of_row, row) for of_row, row in zip(logits, rows, strict=True)]
        del logits
        passed_over: dict[str, float | str] = {}
        careful = logits_type in (torch.bfloat16, torch.float16) and _carries_state(model)
        without_bounds: list[float] | str | None = None
        for layout in among:
            chunked = layout.startswith("packed") and _attends_in_chunks(model)
            found = CHUNKS if chunked else agree(call(partial(gaps, batch=batch, layout=layout, own=own)))
            if careful and layout in ("packed", "packed_mask"):
                without_bounds, found = found, STATE
            elif careful and layout == "packed_varlen" and found == without_bounds:
                found = STATE
            if isinstance(found, str):
                passed_over[layout] = found
                continue
            apart = not layout.startswith("packed")  # sequences that cannot see each other: noise alone
            if max(found) <= (most if apart else min(most, max(least, NOISE * found[0]))):
                return Choice(layout, max(found), passed_over)
            passed_over[layout] = max(found)
    raise RecipeError(
        f"base_model: log-probabilities differ from the model's own, by more than {least:g} nats per token, however "
        f"sequences run ({_listed(passed_over)}); its layers or its logits do what these plugins do not know: train "
        "another model, and report this one."
    )


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def _of_row(reference: Callable[[Any, Tensor], Tensor], row: Tensor, model: Any) -> Tensor:
    return reference(model, row)


def _attends_in_chunks(model: nn.Module) -> bool:
    """Whether a layer sees the current chunk of the row alone (Llama 4)."""
    config: Any = model.config
    return "chunked_attention" in (getattr(config, "layer_types", None) or ())


def _carries_state(model: nn.Module) -> bool:
    """Whether a layer mixes the tokens of a row by a short convolution, as linear attention and Mamba do."""
    return any(isinstance(part, nn.Conv1d) and part.groups == part.in_channels > 1 for part in model.modules())


def own_logits(model: Any, ids: Tensor) -> Tensor:
    """Logits (n, V) of the model's own forward on one sequence (n,)."""
    logits: Tensor = model(input_ids=ids.unsqueeze(0), use_cache=False).logits[0]
    return logits


def logprobs(logits: Tensor, ids: Tensor) -> Tensor:
    """Of every token but the first (n − 1,), in fp32 or better."""
    logits = logits[:-1] if logits.dtype == torch.float64 else logits[:-1].float()
    return logits.log_softmax(-1).gather(1, ids[1:].unsqueeze(1)).squeeze(1)


def packed(rows: Sequence[Tensor]) -> Packed:
    """Sequences whose every token but the first is to be predicted."""
    ids = nn.utils.rnn.pad_sequence(list(rows), batch_first=True)
    lengths = torch.tensor([len(row) for row in rows], device=ids.device).unsqueeze(1)
    inside = torch.arange(ids.shape[1], device=ids.device) < lengths
    return pack(ids[:, :1], inside[:, :1], ids[:, 1:], inside[:, 1:])


def gaps(model: nn.Module, batch: Packed, layout: str, own: Sequence[Tensor]) -> list[float] | str:
    """Of each sequence the mean difference over its tokens, or over its first ones if that is larger; or what the
    layout raised."""
    try:
        logps, _ = completion_logprobs(model, batch, layout=layout)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # a model that does not take a layout's arguments may raise anything
        return f"{type(error).__name__}: {error}".partition("\n")[0]
    differences = [(row[: len(theirs)] - theirs).abs() for row, theirs in zip(logps, own, strict=True)]
    means = [max(of_row.mean().item(), of_row[:FIRST].mean().item()) for of_row in differences]
    return [float("inf") if mean != mean else mean for mean in means]


def _listed(gaps: Mapping[str, float | str]) -> str:
    return ", ".join(
        f"{name}: {gap:.2g} nats per token" if isinstance(gap, float) else f"{name}: {gap}"
        for name, gap in gaps.items()
    )


@contextmanager
def _without_dropout(model: nn.Module) -> Iterator[None]:
    """The model in evaluation mode; afterwards every module is as it was."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
