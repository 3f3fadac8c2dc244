"""The best value of a validation metric so far: which checkpoint to keep, and when to stop."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from grpo_plugin.config.validation import BestCheckpoint
from grpo_plugin.errors import RecipeError, suggestion


class BestSoFar:
    """Follows `validation.best` over the validations of a run, the one before training included.

    Attributes:
        step: of the best value; None before the first validation.
        waited: validations since then.
    """

    def __init__(self, config: BestCheckpoint, known: Iterable[str]) -> None:
        """`known` are the names of all figures that a validation may give.

        Raises:
            RecipeError: the metric is none of them.
        """
        names = list(known)
        if config.name not in names:
            raise RecipeError(f"validation.best.metric: no figure {config.name!r}; {suggestion(config.name, names)}")
        self._config = config
        self.step: int | None = None
        self.value: float | None = None
        self.waited = 0

    def add(self, step: int, metrics: Mapping[str, float]) -> bool:
        """Whether this validation is the best so far; one with an equal value or without one is not."""
        value = metrics.get(self._config.name, math.nan)
        sign = 1 if self._config.mode == "max" else -1
        if math.isnan(value) or (self.value is not None and sign * value <= sign * self.value):
            self.waited += 1
            return False
        self.step, self.value, self.waited = step, value, 0
        return True

    def sentence(self) -> str:
        """How long ago the best value was, and which it is."""
        name, none = self._config.metric, "no value yet"
        value = none if self.value is None else f"{self.value:.4g} after step {self.step}"
        return f"{self.waited} validations in a row were not better; best {name}: {value}"

    def state(self) -> dict[str, Any]:
        return {"step": self.step, "value": self.value, "waited": self.waited}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.step, self.value, self.waited = state["step"], state["value"], state["waited"]
