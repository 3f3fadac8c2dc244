"""The figures of a run as columns: a value for each logged step, thinned where there are very many."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import fmean
from typing import Any

from grpo_plugin.console.report.run_folder import RunFolder

POINTS = 2000  # of a curve; more are averaged
TOKENS_PER_SECOND = "tokens per second"
PHASES = ("time/generate", "time/score", "time/train", "time/sync", "time/canary")

Values = list[float | None]


def columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, Values]:
    """Metric → its values; None in rows without it. `step` and `time` are columns as well."""
    names = dict.fromkeys(name for row in rows for name, value in row.items() if isinstance(value, int | float))
    return {name: [row.get(name) for row in rows] for name in names}


def tokens_per_second(rows: Sequence[Mapping[str, Any]]) -> Values:
    """Tokens of prompts and completions generated since they were last counted, by the seconds of all phases since.

    None in the first row, and in rows that train on a batch of an earlier one.
    """
    found: Values = []
    before: float | None = None
    seconds = 0.0
    for row in rows:
        tokens: float | None = row.get("num_tokens")
        seconds += sum(row.get(phase) or 0.0 for phase in PHASES)
        rate = None
        if tokens is not None and before is not None and tokens > before and seconds > 0:
            rate = (tokens - before) / seconds
        found.append(rate)
        if tokens != before:
            before, seconds = tokens, 0.0
    return found


def thinned(values: Values, points: int = POINTS, *, last: bool = False) -> Values:
    """At most `points` values: means of equal stretches, or the last value of each."""
    if len(values) <= points:
        return values
    bounds = [round(place * len(values) / points) for place in range(points + 1)]
    return [_of_stretch(values[low:high], last) for low, high in pairwise(bounds)]


def _of_stretch(values: Values, last: bool) -> float | None:
    known = [value for value in values if value is not None]
    if not known:
        return None
    return known[-1] if last else fmean(known)


def of_run(run: RunFolder) -> dict[str, Any]:
    """`steps`, `seconds` since the first row and `tokens` (as x axes), and `metrics` by name."""
    found = columns(run.metrics)
    times, tokens = found.pop("time", []), found.get("num_tokens", [])
    steps = found.pop("step", [])
    found[TOKENS_PER_SECOND] = tokens_per_second(run.metrics)
    began = next((time for time in times if time is not None), 0.0)
    return {
        "steps": thinned(steps, last=True),
        "seconds": thinned([None if time is None else time - began for time in times], last=True),
        "tokens": thinned(tokens, last=True),
        "metrics": {
            name: [None if value is None else float(f"{value:.6g}") for value in thinned(values)]
            for name, values in found.items()
            if any(value is not None for value in values)
        },
        "averaged": len(run.metrics) if len(run.metrics) > POINTS else None,
    }
