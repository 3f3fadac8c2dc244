"""The package reasoning-gym for tests: without it they skip with the reason, and fail where CI is set."""

import os

import pytest

from grpo_plugin.compat.reasoning_gym_package import INSTALL, is_installed


def need_reasoning_gym() -> None:
    """Skip the test where the package is missing; fail it in CI."""
    if is_installed():
        return
    reason = f"the package reasoning-gym is not installed: {INSTALL}, or `make env`"
    assert not os.environ.get("CI"), reason
    pytest.skip(reason)
