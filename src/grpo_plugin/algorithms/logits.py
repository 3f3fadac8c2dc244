"""The scale and the cap that a causal language model applies to its output head's result before the softmax.

logits = cap · tanh(scale · head(hidden) / cap), or scale · head(hidden) where there is no cap.

| key of the configuration | effect | families |
|---|---|---|
| logit_scale, lm_head_multiplier | multiplies | Cohere; Falcon-H1 |
| logits_scaling | divides (HyperCLOVA X multiplies by it) | Granite, MiniCPM3 |
| final_logit_softcapping | the cap | Gemma 2 and later, nanochat |
| logits_soft_cap, output_logit_soft_cap | the cap | RecurrentGemma; xLSTM |

`layout_choice.choose_layout` compares with the model's own logits: a model that does something else is noticed.
"""

from typing import Any

from torch import nn

_FACTORS = ("logit_scale", "lm_head_multiplier")
_DIVISOR = "logits_scaling"
_MULTIPLIED_BY_DIVISOR = frozenset({"hyperclovax"})  # model types
_CAPS = ("final_logit_softcapping", "logits_soft_cap", "output_logit_soft_cap")


def logit_scale(model: nn.Module) -> float:
    """The factor on the output head's result."""
    config = _text_config(model)
    scale = 1.0
    for name in _FACTORS:
        factor = getattr(config, name, None)
        scale *= 1.0 if factor is None else float(factor)
    divisor = getattr(config, _DIVISOR, None)
    if divisor is not None:
        multiplies = getattr(config, "model_type", "") in _MULTIPLIED_BY_DIVISOR
        scale *= float(divisor) if multiplies else 1.0 / float(divisor)
    return scale


def softcap(model: nn.Module) -> float | None:
    """The cap on the scaled logits, if there is one."""
    config = _text_config(model)
    caps = (getattr(config, name, None) for name in _CAPS)
    return next((float(cap) for cap in caps if cap is not None), None)


def logit_arguments(model: nn.Module, temperature: float) -> dict[str, Any]:
    """`temperature` and `softcap` for `logprobs` and `heads`, which have no scale: it is part of both.

    cap · tanh(scale · z / cap) / temperature = cap' · tanh(z / cap') / temperature', with both divided by the scale.
    """
    scale, cap = logit_scale(model), softcap(model)
    return {"temperature": temperature / scale, "softcap": None if cap is None else cap / scale}


def _text_config(model: nn.Module) -> Any:
    """The configuration of the language model, also of a vision model's text part."""
    config: Any = model.config
    get_text_config = getattr(config, "get_text_config", None)
    return config if get_text_config is None else get_text_config()
