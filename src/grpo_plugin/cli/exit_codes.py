"""Ends a sub-command on an error of ours: one sentence on standard error, exit code 2."""

import sys
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from grpo_plugin.errors import GrpoPluginError

P = ParamSpec("P")
T = TypeVar("T")


def errors_exit_2(command: Callable[P, T]) -> Callable[P, T]:
    """Decorate the function of a sub-command, below `@click.command`."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return command(*args, **kwargs)
        except GrpoPluginError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(2)

    return run
