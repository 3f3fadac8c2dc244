"""The coefficient of the KL to the reference model, fixed or adapted to a target KL."""

from dataclasses import replace

from grpo_plugin.algorithms.kl import AdaptiveCoefficient
from grpo_plugin.algorithms.settings import Algorithm
from grpo_plugin.trainer.metrics import Metrics


class KlCoefficient:
    """`algorithm.kl_coef` as it is now.

    Attributes:
        value: the coefficient, in loss or reward per nat.
    """

    def __init__(self, algorithm: Algorithm) -> None:
        self.value, config = algorithm.preset.kl_coef, algorithm.config
        self._adaptive = (
            AdaptiveCoefficient(self.value, config.kl_target, config.kl_horizon) if config.kl_target else None
        )

    def update(self, metrics: Metrics, completions: int) -> None:
        """Update an adaptive coefficient after an optimizer step over `completions` completions. Collective."""
        if self._adaptive is None:
            return
        measured = metrics.step_mean("kl")
        if measured is not None:
            self.value = self._adaptive.update(measured, completions)

    def state(self) -> float:
        return self.value

    def restore(self, state: float) -> None:
        self.value = state
        if self._adaptive is not None:
            self._adaptive = replace(self._adaptive, value=state)
