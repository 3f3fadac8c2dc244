"""Scale and cap of logits as the configurations of families name them; `test_families.py` holds them against models."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from grpo_plugin.algorithms.logits import logit_arguments, logit_scale, softcap


def model_of(**config: Any) -> Any:
    return SimpleNamespace(config=SimpleNamespace(**config))


@pytest.mark.parametrize(
    ("config", "scale", "cap"),
    [
        ({}, 1.0, None),
        ({"logit_scale": 0.0625}, 0.0625, None),
        ({"logit_scale": None}, 1.0, None),
        ({"lm_head_multiplier": 0.5}, 0.5, None),
        ({"logits_scaling": 8.0}, 0.125, None),
        ({"logits_scaling": 8.0, "model_type": "hyperclovax"}, 8.0, None),
        ({"final_logit_softcapping": 30.0}, 1.0, 30.0),
        ({"final_logit_softcapping": None}, 1.0, None),
        ({"logits_soft_cap": 20.0}, 1.0, 20.0),
    ],
)
def test_scale_and_cap(config: dict[str, Any], scale: float, cap: float | None) -> None:
    assert (logit_scale(model_of(**config)), softcap(model_of(**config))) == (scale, cap)


def test_the_language_models_part_of_a_configuration_counts() -> None:
    text = SimpleNamespace(logits_scaling=4.0)
    assert logit_scale(model_of(logits_scaling=None, get_text_config=lambda: text)) == 0.25


def test_a_scale_is_part_of_temperature_and_cap() -> None:
    model, z = model_of(logit_scale=0.25, final_logit_softcapping=3.0), torch.linspace(-20, 20, 9).double()
    arguments = logit_arguments(model, 0.7)
    cap, temperature = arguments["softcap"], arguments["temperature"]
    expected = 3.0 * torch.tanh(0.25 * z / 3.0) / 0.7
    assert torch.allclose(cap * torch.tanh(z / cap) / temperature, expected)
    assert logit_arguments(model_of(), 0.7) == {"temperature": 0.7, "softcap": None}
