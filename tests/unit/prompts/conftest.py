from collections.abc import Callable
from pathlib import Path

import pytest

from grpo_plugin.config.prompts import PromptsConfig
from grpo_plugin.prompts import PromptData, load


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Prepared prompts of a test stay with the test."""
    cache = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    return cache / "grpo-plugin"


@pytest.fixture
def prompts(tmp_path: Path) -> Callable[..., PromptData]:
    """Load a `prompts:` block whose recipe lies in tmp_path."""

    def run(tokenizer=None, seed: int = 0, **block) -> PromptData:
        config = PromptsConfig.parse("prompts", {"train": "train.jsonl", **block})
        return load(config, base_dir=tmp_path, seed=seed, tokenizer=tokenizer)

    return run
