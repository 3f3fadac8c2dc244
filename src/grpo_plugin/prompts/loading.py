"""From the `prompts:` block to the datasets the trainer reads."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grpo_plugin.config.prompts import PromptsConfig, Sources, held_out_field
from grpo_plugin.errors import RecipeError
from grpo_plugin.prompts.identity import data_key
from grpo_plugin.prompts.images import image_tokens, images_unchanged
from grpo_plugin.prompts.lengths import ChatCounter
from grpo_plugin.prompts.measure import Measure
from grpo_plugin.prompts.mixture import mix
from grpo_plugin.prompts.prepare import Preparation
from grpo_plugin.prompts.rows import RowReader
from grpo_plugin.prompts.store import DATA, default_cache, prepared
from grpo_plugin.prompts.stream import Stream
from grpo_plugin.recipe.sources import resolve

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset
    from transformers import PreTrainedTokenizerBase, ProcessorMixin

LOG = logging.getLogger(__name__)

# Part of every cache key: raise it when the same rows would be prepared differently.
LAYOUT = 1


@dataclass(frozen=True)
class PromptData:
    """Rows for the trainer, with their columns, longest prompt and notes.

    A row has `prompt` (chat messages; text if the tokenizer has no chat template), `answer` if an answer_key is set,
    `images` (PIL) if an image_key is, and every other column of the data.

    Args:
        train: where the block names no training rows, those of the first held-out set, which are never trained on.
        validation: the sets of held-out rows, by name.
        columns: names in a training row.
        longest: tokens of the longest prompt kept, of train and validation; None when nothing was measured.
        notes: one line each for the user: what was dropped, cut, left out or mixed.
    """

    train: Dataset | IterableDataset
    validation: Mapping[str, Dataset]
    columns: tuple[str, ...]
    longest: int | None
    notes: tuple[str, ...]


def load(
    config: PromptsConfig,
    *,
    base_dir: Path,
    seed: int,
    tokenizer: PreTrainedTokenizerBase | None = None,
    processor: ProcessorMixin | None = None,
    template_kwargs: Mapping[str, Any] | None = None,
    cache_dir: Path | None = None,
) -> PromptData:
    """Read, check and measure every row of the block as chat messages; the second time from the cache.

    Args:
        base_dir: the recipe's folder, where relative paths start.
        seed: decides which rows a weighted source gives; the order of training is `prompts.order`'s.
        tokenizer: the model's own, as it will train; without one nothing is measured.
        processor: a vision model's own, to count the tokens of images.
        template_kwargs: `trl.chat_template_kwargs`.
        cache_dir: where prepared prompts are kept; by default in the user's cache folder.

    Raises:
        DataError: missing files or columns, bad rows (with their numbers), an empty split.
        RecipeError: a template that is missing or does not parse, a limit without a tokenizer.
    """
    if config.max_length and tokenizer is None:
        raise RecipeError(f"prompts.max_length: {config.max_length} tokens cannot be measured without the tokenizer.")
    counter = _counter(tokenizer, processor, template_kwargs)
    loader = _Loader(config, base_dir, seed, cache_dir or default_cache(), counter, processor)
    held_out = {name: loader.held_out(name) for name in config.validation or {}}
    if config.streaming:
        train = loader.stream()
    else:
        train = loader.split("prompts.train", config.train) if config.train else next(iter(held_out.values()))
    if counter is not None and not config.streaming:
        counter.close()
    parts = [train, *(part for part in held_out.values() if part is not train)]
    notes = tuple(note for part in parts for note in part.notes)
    for note in notes:
        LOG.warning(note)
    longest = max(part.longest for part in parts) if tokenizer is not None else None
    return PromptData(train.rows, {name: part.rows for name, part in held_out.items()}, train.columns, longest, notes)


def _counter(
    tokenizer: PreTrainedTokenizerBase | None, processor: ProcessorMixin | None, kwargs: Mapping[str, Any] | None
) -> ChatCounter | None:
    if tokenizer is None:
        return None
    return ChatCounter(tokenizer, kwargs, chat_template=getattr(processor, "chat_template", None))


@dataclass(frozen=True)
class _Split:
    rows: Any
    columns: tuple[str, ...]
    longest: int
    notes: list[str]


@dataclass(frozen=True)
class _Loader:
    config: PromptsConfig
    base_dir: Path
    seed: int
    cache: Path
    counter: ChatCounter | None
    processor: ProcessorMixin | None

    def held_out(self, name: str) -> _Split:
        """The rows of one set of `prompts.validation`."""
        config = self.config.held_out(name)
        return replace(self, config=config).split(held_out_field(name), config.train)

    def split(self, field: str, sources: Sources) -> _Split:
        """The rows of one field from the cache, prepared first where they are not there."""
        from datasets import Dataset

        resolved = resolve(field, sources, self.base_dir)
        work = self._preparation(field)
        key = data_key(self.config, self.base_dir, resolved, [work.measure], LAYOUT, field)
        folder, report = prepared(
            self.cache / "prompts", key, lambda folder: work.write(resolved, folder), images_unchanged
        )
        rows, notes = Dataset.from_file(str(folder / DATA)), report["notes"]
        if mixed := mix(field, resolved, report["rows"], self.seed):
            rows, notes = rows.select(mixed.indices), [*notes, mixed.note]
        return _Split(rows, tuple(rows.column_names), report["longest"], notes)

    def stream(self) -> _Split:
        """Training rows read while training; the first chunk is read and checked now."""
        resolved = resolve("prompts.train", self.config.train, self.base_dir)
        stream = Stream(self._preparation("prompts.train"), resolved)
        return _Split(stream.dataset(self.seed), stream.columns, stream.longest, [])

    def _preparation(self, field: str) -> Preparation:
        measure = Measure(field, self.counter, image_tokens(self.processor))
        return Preparation(RowReader(self.config, self.base_dir), measure)
