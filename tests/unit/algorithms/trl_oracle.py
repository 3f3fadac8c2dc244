"""TRL's own loss on given log-probabilities: its `_compute_loss`, called on a stand-in for the trainer."""

from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from trl.experimental.gmpo.gmpo_trainer import GMPOTrainer
from trl.experimental.gspo_token.grpo_trainer import GRPOTrainer as GSPOTokenTrainer
from trl.trainer.grpo_trainer import GRPOTrainer

TRAINERS = {"grpo": GRPOTrainer, "gspo_token": GSPOTokenTrainer, "gmpo": GMPOTrainer}


def trl_loss(logps: Tensor, inputs: dict[str, Any], trainer: str = "grpo", **settings: Any) -> Tensor:
    """The loss for `logps` (B, T); `inputs` are TRL's, prompts excepted."""
    prompt = torch.ones(logps.shape[0], 1, dtype=torch.long)
    ids = torch.zeros(logps.shape, dtype=torch.long)
    inputs = {"prompt_ids": prompt, "prompt_mask": prompt, "completion_ids": ids, **inputs}
    stand_in = _stand_in(logps, settings)
    return TRAINERS[trainer]._compute_loss(stand_in, None, inputs)  # type: ignore[arg-type]


def _stand_in(logps: Tensor, settings: dict[str, Any]) -> SimpleNamespace:
    arguments = {
        "delta": None,
        "use_bias_correction_kl": False,
        "sapo_temperature_pos": 1.0,
        "sapo_temperature_neg": 1.05,
    }
    arguments |= {"vespo_k_pos": 2.0, "vespo_lambda_pos": 3.0, "vespo_k_neg": 3.0, "vespo_lambda_neg": 2.0}
    attributes: dict[str, Any] = {
        "_get_per_token_logps_and_entropies": lambda *_, **__: (logps, torch.zeros_like(logps), None),
        "accelerator": SimpleNamespace(num_processes=1, gather=lambda x: x, reduce=lambda x, reduction: x),
        "model": SimpleNamespace(training=True),
        "get_gamma_weights": GRPOTrainer.get_gamma_weights,
        "aux_loss_enabled": False,
        "_entropy_bonus_enabled": False,
        "top_entropy_quantile": 1.0,
        "off_policy_mask_threshold": None,
        "importance_sampling_level": "token",
        "loss_type": "grpo",
        "beta": 0.0,
        "epsilon_low": 0.2,
        "epsilon_high": 0.2,
        "use_vllm": False,
        "vllm_importance_sampling_correction": True,
        "current_gradient_accumulation_steps": 1,
        "max_completion_length": 32,
        "_metrics": defaultdict(lambda: defaultdict(list)),
    }
    for name, value in settings.items():
        (arguments if name in arguments else attributes)[name] = value
    return SimpleNamespace(args=SimpleNamespace(**arguments), **attributes)
