"""The worked example of every reward module gives what its docstring says."""

import doctest
import pkgutil
from importlib import import_module

import pytest

import rewards

MODULES = [module.name for module in pkgutil.iter_modules(rewards.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_worked_example(name: str) -> None:
    module = import_module(f"rewards.{name}")
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
