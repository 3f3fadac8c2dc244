from pathlib import Path

import pytest

from tests.unit.prompts.vocabularies import DEFAULT_SYSTEM, qwen, wrapped


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    cache = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    return cache / "grpo-plugin"


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tokenizer whose template looks at the last message."""
    folder = tmp_path_factory.mktemp("model")
    wrapped(qwen(), DEFAULT_SYSTEM).save_pretrained(folder)
    return folder
