"""Corrects the `axolotl` command where stock Axolotl 0.19 stands in the way of a run.

Defects: `axolotl train --num-processes=7 recipe.yaml` is refused ("Path '--num-processes=7' does not exist"),
because click takes an unknown option for the first argument; goes when Axolotl accepts the option before the
config. The logo is printed on stdout, where `axolotl grpo … > FILE` writes its result; goes when Axolotl prints it
on stderr or on terminals only. Applied by `launcher.startup`, once, when the `axolotl` command imports its main module.
"""

import importlib.util
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import click

ConfigFirst = Callable[[list[str], set[str]], list[str]]


def spec(name: str, before: Callable[[list[str]], None], config_first: ConfigFirst) -> ModuleSpec | None:
    """The real spec of `axolotl.cli.main`, with a loader that prepares the run first and fixes the commands after.

    Args:
        before: called with the arguments after `axolotl`, before Axolotl's own imports.
        config_first: returns the same arguments with the config in front; its second argument names the options that
            take a value.
    """
    found = importlib.util.find_spec(name)
    if found is not None and found.loader is not None:
        found.loader = _Loader(found.loader, before, config_first)  # type: ignore[assignment]
    return found


class _Loader:
    def __init__(self, loader: Any, before: Callable[[list[str]], None], config_first: ConfigFirst) -> None:
        self._loader, self._before, self._config_first = loader, before, config_first

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def exec_module(self, module: ModuleType) -> None:
        if Path(sys.argv[0]).name == "axolotl":
            self._before(sys.argv[1:])
        self._loader.exec_module(module)
        accept_config_anywhere(module.cli, self._config_first)
        if sys.argv[1:2] == ["grpo"]:
            keep_logo_out()


def keep_logo_out() -> None:
    """Print no logo on stdout; idempotent."""
    from axolotl.cli import art

    art.HAS_PRINTED_LOGO = True


def accept_config_anywhere(group: click.Group, config_first: ConfigFirst) -> None:
    """Let every command that passes unknown options on take its config from anywhere on the line; idempotent."""
    for command in group.commands.values():
        passes_on = command.context_settings.get("ignore_unknown_options")
        if passes_on and not hasattr(command, "takes_config_anywhere"):
            _wrap_parse_args(command, config_first)


def _wrap_parse_args(command: click.Command, config_first: ConfigFirst) -> None:
    stock = command.parse_args
    with_value = {
        name
        for parameter in command.params
        if isinstance(parameter, click.Option) and not parameter.is_flag
        for name in parameter.opts
    }

    def parse_args(ctx: click.Context, args: list[str]) -> list[str]:
        return stock(ctx, config_first(args, with_value))

    command.parse_args = parse_args  # type: ignore[method-assign]
    command.takes_config_anywhere = True  # type: ignore[attr-defined]
