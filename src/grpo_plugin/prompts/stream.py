"""Training rows read while training, for data that should not be written to the disk a second time."""

from __future__ import annotations

import io
import logging
import random
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from PIL import Image

from grpo_plugin.errors import DataError
from grpo_plugin.prompts.prepare import Preparation
from grpo_plugin.prompts.row_errors import RowErrors
from grpo_plugin.prompts.rows import Prompt
from grpo_plugin.recipe.sources import Source

if TYPE_CHECKING:
    from datasets import IterableDataset

LOG = logging.getLogger(__name__)


class Stream:
    """Sources as a stream of rows. The first chunk of each is read and checked at once, and decides the columns.

    Raises:
        DataError: bad rows in a first chunk; those further on stop the run when they are reached.
    """

    def __init__(self, work: Preparation, sources: Sequence[Source]) -> None:
        self._work, self._sources = work, sources
        first = [prompt for source in sources for prompt in next(self._prompts(source), [])]
        if not first:
            raise DataError(f"{work.field}: the first rows give no prompt; check the data and prompts.max_length.")
        self.columns = tuple(dict.fromkeys(name for prompt in first for name in self._row(prompt)))
        self.longest = work.reader.config.max_length or 0

    def dataset(self, seed: int) -> IterableDataset:
        """The rows of all sources one after the other; with weights, sampled by seed until each has been read once."""
        from datasets import IterableDataset

        weights = [source.weight for source in self._sources if source.weight is not None]
        if weights:
            return IterableDataset.from_generator(self._drawn, gen_kwargs={"weights": tuple(weights), "seed": seed})
        return IterableDataset.from_generator(self._in_turn)

    def _in_turn(self) -> Iterator[dict[str, Any]]:
        for source in self._sources:
            yield from self._rows(source)

    def _drawn(self, weights: Sequence[float], seed: int) -> Iterator[dict[str, Any]]:
        draw, running, ended = random.Random(seed), [self._rows(source) for source in self._sources], set()
        while True:
            chosen = draw.choices(range(len(running)), weights)[0]
            row = next(running[chosen], None)
            if row is None:
                ended.add(chosen)
                if len(ended) == len(running):
                    return
                running[chosen] = self._rows(self._sources[chosen])
                row = next(running[chosen])
            yield row

    def _rows(self, source: Source) -> Iterator[dict[str, Any]]:
        for prompts in self._prompts(source):
            for prompt in prompts:
                row = self._row(prompt)
                if new := row.keys() - set(self.columns):
                    raise DataError(
                        f"{self._work.field}: column {min(new)!r} of {source.spec} comes first in row {prompt.number}, "
                        "too late for a stream; add it to every row, or set streaming: false."
                    )
                yield {name: row.get(name) for name in self.columns}

    def _prompts(self, source: Source) -> Iterator[list[Prompt]]:
        limit, row_errors = self._work.limit(), RowErrors(self._work.field)
        for prompts in self._work.prompts(source, limit, row_errors, streaming=True):
            row_errors.check(so_far=True)
            yield prompts
        if note := limit.note(self._work.field):
            LOG.warning(note)

    def _row(self, prompt: Prompt) -> dict[str, Any]:
        row = {"prompt": self._work.measure.chat(prompt), **prompt.columns}
        if self._work.reader.config.image_key:
            row["images"] = [Image.open(io.BytesIO(image.data)) for image in prompt.images]
        return row
