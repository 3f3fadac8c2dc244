"""Log-probabilities of packed sequences by a causal language model of transformers: hidden states, then the head.

Works on any model with the same interface (`base_model`, `get_output_embeddings()`, `config`); this module imports
torch alone. `layouts` says how the sequences run.
"""

from torch import Tensor, nn

from grpo_plugin.algorithms import layouts
from grpo_plugin.algorithms.heads import head_logprobs
from grpo_plugin.algorithms.logits import logit_arguments
from grpo_plugin.algorithms.packing import Packed, Predicted


def completion_logprobs(
    model: nn.Module,
    packed: Packed,
    *,
    temperature: float = 1.0,
    chunk: int | None = None,
    layout: str = "packed",
) -> tuple[Tensor, Tensor]:
    """Log-probabilities and entropies (B, T) of the completion tokens, 0 on the other tokens.

    Args:
        model: an unwrapped `…ForCausalLM`; call this inside the wrapper's forward (DDP, FSDP, DeepSpeed).
        packed: what to run; must hold at least one token.
        temperature: of sampling.
        chunk: tokens per chunk of the output head, see `logprobs.token_logprobs`.
        layout: how the sequences run, see `layouts`.
    """
    states = completion_states(model, packed, layout)
    return states_logprobs(model, packed, states, temperature=temperature, chunk=chunk)


def states_logprobs(
    model: nn.Module,
    batch: Predicted,
    states: Tensor,
    *,
    temperature: float = 1.0,
    chunk: int | None = None,
    fp32: bool = False,
) -> tuple[Tensor, Tensor]:
    """As `completion_logprobs`, from the hidden states (K, H) that predict the tokens of a batch of any layout.

    Args:
        fp32: compute the output head in fp32, also under autocast and with 16-bit weights (TRL's
            `cast_lm_head_to_fp32`; the weights stay as they are).
    """
    logps, entropies = head_logprobs(
        output_head(model),
        states,
        batch.targets,
        chunk=chunk,
        fp32=fp32,
        **logit_arguments(model, temperature),
    )
    return batch.unpack(logps), batch.unpack(entropies)


def completion_states(model: nn.Module, packed: Packed, layout: str = "packed") -> Tensor:
    """Hidden states (K, H) that predict the completion tokens."""
    return hidden_states(model, packed, layout)[packed.sources]


def hidden_states(model: nn.Module, packed: Packed, layout: str = "packed") -> Tensor:
    """Last hidden states (N, H) of the packed tokens."""
    return layouts.run(model, packed, layout).hidden


def output_head(model: nn.Module) -> nn.Module:
    """What maps hidden states to logits."""
    head: nn.Module = model.get_output_embeddings()  # type: ignore[operator]
    return head
