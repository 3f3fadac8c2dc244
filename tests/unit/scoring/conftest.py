from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest

from grpo_plugin.config.rewards import RewardsConfig
from grpo_plugin.scoring import RewardSet, load
from tests.unit.scoring.scored import FOLDER


@pytest.fixture
def loaded() -> Iterator[Callable[..., RewardSet]]:
    """Load functions of grading.py by name (or whole entries of `rewards.functions`); closed after the test."""
    with ExitStack() as stack:

        def load_them(*functions: str | dict[str, Any], **block: Any) -> RewardSet:
            entries = [{"function": f"grading.py:{f}"} if isinstance(f, str) else f for f in functions]
            config = RewardsConfig.parse("rewards", {"functions": entries, "workers": 0, **block})
            return stack.enter_context(closing(load(config, FOLDER)))

        yield load_them
