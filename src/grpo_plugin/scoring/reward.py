"""One reward function of the recipe, loaded and checked: its name, its weight, and one way to call it."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grpo_plugin.config.rewards import RewardFunction
from grpo_plugin.errors import RewardError
from grpo_plugin.scoring import signature
from grpo_plugin.scoring.function_loading import model_path, resolve
from grpo_plugin.scoring.reward_models import ModelReward
from grpo_plugin.scoring.side_effects import restored_directory
from grpo_plugin.scoring.signature import Signature


@dataclass(frozen=True)
class Reward:
    """A reward function with its configuration; `where` names it in errors."""

    index: int
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

    @property
    def trainer_only(self) -> bool:
        """Whether it must run in the trainer: async functions, models (for its GPU), users of TRL's objects."""
        return self.is_async or isinstance(self.function, ModelReward) or bool(self.signature.extras)

    def warm_up(self) -> None:
        """Call `warm_up()` of the function's module, if it has one, before the first batch.

        Raises:
            RewardError: it failed.
        """
        prepare = getattr(inspect.getmodule(self.function), "warm_up", None)
        if not callable(prepare):
            return
        try:
            with restored_directory():
                prepare()
        except (Exception, SystemExit) as error:
            raise RewardError(f"{self.where}: warm_up() raised {type(error).__name__}: {error}") from error

    def describe(self) -> str | None:
        """What `describe()` of the function's module says of how it scores on this machine, if it has one."""
        describe = getattr(inspect.getmodule(self.function), "describe", None)
        return str(describe()) if callable(describe) else None


def build(config: RewardFunction, index: int, base_dir: Path) -> Reward:
    """Load the function that entry `index` of `rewards.functions` names; its name is made unique later.

    Raises:
        RewardError: it cannot be loaded, takes no completions, does not know one of its `kwargs`, or refuses its value.
    """
    function = _model(config.function, base_dir) or resolve(config.function, base_dir)
    where = f"rewards.functions[{index}] ({config.function})"
    name = config.name or str(getattr(function, "__name__", type(function).__name__))
    sorted_parameters = signature.read(where, function, config.kwargs)
    _check_kwargs(where, function, config.kwargs)
    return Reward(index, where, name, config.weight, function, sorted_parameters, config.kwargs, config)


def _check_kwargs(where: str, function: Callable[..., Any], kwargs: Mapping[str, Any]) -> None:
    """Let `check_kwargs(kwargs)` of the function's module, if it has one, find mistakes before the run begins."""
    check = getattr(inspect.getmodule(function), "check_kwargs", None)
    if not callable(check):
        return
    try:
        check(kwargs)
    except RewardError as error:
        raise RewardError(f"{where}.kwargs: {error}") from error


def given(config: RewardFunction, function: Callable[..., Any], index: int) -> Reward:
    """A reward whose function is there already: the `get_reward()` of an environment."""
    where = f"environments.factory ({config.function})"
    return Reward(
        index, where, str(config.name), config.weight, function, signature.read(where, function, {}), {}, config
    )


def _model(spec: str, base_dir: Path) -> ModelReward | None:
    path = model_path(spec, base_dir)
    if path is None:
        return None
    model = ModelReward(path)
    model.check()
    return model
