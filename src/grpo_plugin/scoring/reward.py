"""One reward function of the recipe, loaded and checked: its name, its weight, and one way to call it."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grpo_plugin.config.rewards import RewardFunction
from grpo_plugin.errors import RewardError
from grpo_plugin.scoring import signature, verdicts
from grpo_plugin.scoring.async_loop import wait_for
from grpo_plugin.scoring.batch import Batch
from grpo_plugin.scoring.loading import resolve
from grpo_plugin.scoring.signature import Signature
from grpo_plugin.scoring.verdicts import Verdicts


@dataclass(frozen=True)
class Reward:
    """A reward function with its configuration; `where` names it in errors."""

    where: str
    name: str
    weight: float
    function: Callable[..., Any]
    signature: Signature
    kwargs: Mapping[str, Any]
    config: RewardFunction

    @property
    def is_async(self) -> bool:
        call = getattr(type(self.function), "__call__", None)  # noqa: B004 — an object may have an async __call__
        return inspect.iscoroutinefunction(self.function) or inspect.iscoroutinefunction(call)

    def judge(self, batch: Batch, timeout: float | None = None) -> Verdicts:
        """Call the function on the whole batch, in this process, and check what it returns.

        Raises:
            RewardError: the function raised, or did not return one finite number per completion.
        """
        try:
            returned = signature.call(self.signature, self.function, batch, self.kwargs)
            if self.is_async:
                returned = wait_for(returned, timeout)
        except RewardError:
            raise
        except Exception as error:
            raise RewardError(f"{self.where}: raised {type(error).__name__}: {error}") from error
        return verdicts.check(self.where, returned, batch)


def build(config: RewardFunction, index: int, base_dir: Path) -> Reward:
    """Load the function that entry `index` of `rewards.functions` names; its name is made unique later.

    Raises:
        RewardError: it cannot be loaded, takes no completions, or does not know one of its `kwargs`.
    """
    function = resolve(config.function, base_dir)
    where = f"rewards.functions[{index}] ({config.function})"
    name = config.name or str(getattr(function, "__name__", type(function).__name__))
    sorted_parameters = signature.read(where, function, config.kwargs)
    return Reward(where, name, config.weight, function, sorted_parameters, config.kwargs, config)
