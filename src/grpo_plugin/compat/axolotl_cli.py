"""Mends the `axolotl` command where stock Axolotl 0.19 stands in the way of a run.

Defects: `axolotl train --num-processes=7 recipe.yaml` is refused ("Path '--num-processes=7' does not exist"),
because click takes an unknown option for the first argument; goes when Axolotl accepts the option before the
config. The logo is printed on stdout, where `axolotl grpo … > FILE` writes its result; goes when Axolotl prints it
on stderr or on terminals only. Applied by `compat.startup`, once, when the `axolotl` command imports its main module.
"""

import importlib.util
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import click

from grpo_plugin.cli.arguments import config_first


def spec(name: str) -> ModuleSpec | None:
    """The real spec of `axolotl.cli.main`, with a loader that prepares the run first and mends the commands after."""
    found = importlib.util.find_spec(name)
    if found is not None and found.loader is not None:
        found.loader = _Loader(found.loader)  # type: ignore[assignment]
    return found


class _Loader:
    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def exec_module(self, module: ModuleType) -> None:
        if Path(sys.argv[0]).name == "axolotl":
            from grpo_plugin.cli.launch import before_axolotl

            before_axolotl(sys.argv[1:])
        self._loader.exec_module(module)
        mend(module.cli)
        if sys.argv[1:2] == ["grpo"]:
            keep_logo_out()


def keep_logo_out() -> None:
    """Let stdout be the command's own; idempotent."""
    from axolotl.cli import art

    art.HAS_PRINTED_LOGO = True


def mend(group: click.Group) -> None:
    """Let every command that passes unknown options on take its config from anywhere on the line; idempotent."""
    for command in group.commands.values():
        passes_on = command.context_settings.get("ignore_unknown_options")
        if passes_on and not hasattr(command, "takes_config_anywhere"):
            _take_config_anywhere(command)


def _take_config_anywhere(command: click.Command) -> None:
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
