"""The lengths that were measured, with a recommendation, for the terminal, a file or JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grpo_plugin.config.prompts import WeightedSource
from grpo_plugin.errors import DataError, suggestion
from grpo_plugin.prompts.identity import data_key
from grpo_plugin.prompts.images import images_unchanged
from grpo_plugin.prompts.measure import Measure
from grpo_plugin.prompts.readers import read
from grpo_plugin.prompts.rows import RowReader
from grpo_plugin.prompts.store import stored
from grpo_plugin.recipe.sources import Source, resolve
from grpo_plugin.stats.analysis import Analysis, Lengths, analyse, as_text, completion_lengths
from grpo_plugin.stats.distribution import Distribution
from grpo_plugin.stats.recommend import Recommendation, recommend
from grpo_plugin.stats.request import Request

# Part of every cache key: raise it when the same data would give other numbers.
LAYOUT = 2
UNMEASURED = frozenset({"max_length", "overlong"})
LIMITS = (256, 512, 1024, 2048, 4096, 8192)


@dataclass(frozen=True)
class TokenizerReport:
    """Lengths of the data under one tokenizer, and the values to put into the recipe."""

    lengths: Lengths
    completion: Distribution | None
    recommendation: Recommendation
    over: Mapping[int, int]

    @property
    def parts(self) -> dict[str, Distribution]:
        """What was measured, by name."""
        parts = {"prompt": self.lengths.prompt, "answer": self.lengths.answer, "completion": self.completion}
        return {name: part for name, part in parts.items() if part is not None and part.rows}

    def to_json(self) -> dict[str, Any]:
        return {
            **{name: part.summary() for name, part in self.parts.items()},
            "over": {str(limit): rows for limit, rows in self.over.items()},
            "recommended": self.recommendation.to_json(),
            "longest": [vars(row) for row in self.lengths.longest],
        }


def report(
    request: Request,
    measures: Mapping[str, Measure],
    *,
    completions: Path | None = None,
    completion_key: str = "completion",
    limits: Sequence[int] = (),
    cache: Path | None = None,
    progress: Callable[[int], None] = lambda rows: None,
) -> dict[str, TokenizerReport]:
    """Measure the data of a request with each tokenizer; equal measurements come from the cache.

    Args:
        completions: generated completions to measure too (a file or folder; `output_dir/generations`).
        completion_key: their column.
        limits: lengths for which to count the longer prompts, beside the recipe's own.
        cache: folder for results; None measures anew and keeps nothing.

    Raises:
        DataError, RecipeError: what the run itself would stop for.
    """
    sources = resolve(f"prompts.{request.split}", request.sources, request.base_dir)
    measured = _measured(request, sources, measures, cache, progress)
    return {
        name: _tokenizer_report(request, lengths, _completions(completions, completion_key, measures[name]), limits)
        for name, lengths in measured.items()
    }


def _tokenizer_report(
    request: Request, lengths: Lengths, completion: Distribution | None, limits: Sequence[int]
) -> TokenizerReport:
    wanted = {*limits, *([request.config.max_length] if request.config.max_length else [])}
    shown = sorted(wanted or {limit for limit in LIMITS if limit < lengths.prompt.most} or {lengths.prompt.most})
    recommendation = recommend(lengths.prompt, lengths.answer, completion, request.trl.get("max_completion_length"))
    return TokenizerReport(lengths, completion, recommendation, {limit: lengths.prompt.over(limit) for limit in shown})


def _measured(
    request: Request,
    sources: Sequence[Source],
    measures: Mapping[str, Measure],
    cache: Path | None,
    progress: Callable[[int], None],
) -> dict[str, Lengths]:
    def measure() -> Analysis:
        return analyse(RowReader(request.config, request.base_dir), sources, measures, progress)

    if cache is None:
        return measure().lengths
    names = list(measures)
    key = data_key(request.config, request.base_dir, sources, [*measures.values()], LAYOUT, names, without=UNMEASURED)
    values = stored(cache, key, lambda: measure().to_json(), images_unchanged)
    return Analysis.from_json(values).lengths


def _completions(path: Path | None, key: str, measure: Measure) -> Distribution | None:
    if path is None or measure.counter is None:
        return None
    sources = resolve("--completions", [WeightedSource(source=str(path))], Path.cwd())
    return completion_lengths(_texts(sources, key), measure.counter)


def _texts(sources: Sequence[Source], key: str) -> Iterator[list[str]]:
    for chunk in (chunk for source in sources for chunk in read(source)):
        for number, row in zip(chunk.numbers, chunk.rows, strict=True):
            if row.get(key) is None:
                known = suggestion(key, row, f"columns: {', '.join(row)}.")
                raise DataError(f"--completion-key: {chunk.label} row {number} has no {key!r}; {known}")
        yield [as_text(row[key]) for row in chunk.rows]
