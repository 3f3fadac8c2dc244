"""Standard errors by bootstrap: how much a mean would vary with other prompts of the same kind."""

from collections.abc import Mapping, Sequence

import numpy as np

RESAMPLES = 1000
AT_ONCE = 1_000_000  # counts in memory


def standard_errors(figures: Mapping[str, Sequence[Sequence[float | None]]]) -> dict[str, float]:
    """The standard error of the mean of all values of each figure, by name.

    Prompts are drawn with replacement, each with all its values: the values of one prompt depend on each other. 1,000
    draws, always the same ones. Figures with values for fewer than two prompts are left out.

    Args:
        figures: values of each of P prompts; None stands for a value that does not exist.
    """
    known = {name: prompts for name, prompts in figures.items() if sum(map(_has_value, prompts)) > 1}
    if not known:
        return {}
    sums = np.array([[sum(v for v in values if v is not None) for values in prompts] for prompts in known.values()])
    counts = np.array([[sum(v is not None for v in values) for values in prompts] for prompts in known.values()])
    size, generator = counts.shape[1], np.random.default_rng(0)
    means = []
    for start in range(0, RESAMPLES, step := max(1, AT_ONCE // size)):
        drawn = generator.multinomial(size, np.full(size, 1 / size), size=min(step, RESAMPLES - start))
        with np.errstate(invalid="ignore", divide="ignore"):  # a draw without any value
            means.append((drawn @ sums.T) / (drawn @ counts.T))
    deviations = np.nanstd(np.concatenate(means), axis=0, ddof=1)
    return dict(zip(known, deviations.tolist(), strict=True))


def _has_value(values: Sequence[float | None]) -> bool:
    return any(value is not None for value in values)
