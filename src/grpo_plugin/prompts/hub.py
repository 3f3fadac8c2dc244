"""Datasets of the hub, and local folders laid out like one, through `datasets`."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from grpo_plugin.errors import DataError
from grpo_plugin.recipe.sources import Hub

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset


def rows(hub: Hub, *, streaming: bool) -> Iterator[dict[str, Any]]:
    """Rows of a split in order; images stay encoded."""
    yield from _load(hub, streaming)


def fingerprint(hub: Hub) -> str:
    """Changes when the data does."""
    return _load(hub, False)._fingerprint


@lru_cache(maxsize=8)
def _load(hub: Hub, streaming: bool) -> Dataset | IterableDataset:
    import datasets

    try:
        dataset = datasets.load_dataset(hub.name, hub.config, split=hub.split, streaming=streaming)
    except Exception as error:  # whatever the library, its network client or a dataset's own files raise
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise DataError(
            f"dataset {hub.name!r} (config {hub.config or 'default'}, split {hub.split}) cannot be loaded: {reason}; "
            "check the name, the network, and `hf auth login` for private data."
        ) from error
    if dataset.features is None:
        return dataset
    return dataset.cast(datasets.Features({name: _encoded(kind) for name, kind in dataset.features.items()}))


def _encoded(feature: Any) -> Any:
    """The feature with images left as bytes and path."""
    import datasets

    if isinstance(feature, datasets.Image):
        return datasets.Image(decode=False)
    if isinstance(feature, datasets.List):
        return datasets.List(_encoded(feature.feature))
    return feature
