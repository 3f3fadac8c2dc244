"""The distribution of lengths, exact, in memory that grows with the longest length, not with the rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Self

import numpy as np

# A longest row over this many times the 99.9th percentile is an outlier.
OUTLIER = 1.5
QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p99.9": 0.999}


@dataclass
class Distribution:
    """How many rows have each length: `counts[n]` rows have n tokens."""

    counts: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    def add(self, lengths: Sequence[int]) -> None:
        more = np.bincount(np.asarray(lengths, dtype=np.int64))
        if len(more) > len(self.counts):
            self.counts = np.concatenate([self.counts, np.zeros(len(more) - len(self.counts), dtype=np.int64)])
        self.counts[: len(more)] += more

    @property
    def rows(self) -> int:
        return int(self.counts.sum())

    @property
    def least(self) -> int:
        return int(np.flatnonzero(self.counts)[0])

    @property
    def most(self) -> int:
        return int(np.flatnonzero(self.counts)[-1])

    @property
    def mean(self) -> float:
        return float(np.arange(len(self.counts)) @ self.counts / self.rows)

    def quantile(self, share: float) -> float:
        """As `numpy.quantile` of all lengths: linear between the two nearest rows."""
        place = share * (self.rows - 1)
        below = int(place)
        low, high = (self._ranked(rank) for rank in (below, min(below + 1, self.rows - 1)))
        return low + (high - low) * (place - below)

    def _ranked(self, rank: int) -> int:
        """The length of the row at a rank, counted from 0 by length."""
        return int(np.searchsorted(np.cumsum(self.counts), rank, side="right"))

    def over(self, limit: int) -> int:
        """Rows longer than a limit."""
        return int(self.counts[limit + 1 :].sum())

    def summary(self) -> dict[str, float]:
        """rows, min, mean, the quantiles, max."""
        quantiles = {name: round(self.quantile(share), 2) for name, share in QUANTILES.items()}
        return {"rows": self.rows, "min": self.least, "mean": round(self.mean, 2), **quantiles, "max": self.most}

    @property
    def usual(self) -> int:
        """The longest length; where that is an outlier, the 99.9th percentile."""
        percentile = self.quantile(0.999)
        return self.most if self.most <= OUTLIER * percentile else int(-(-percentile // 1))

    def bins(self, number: int) -> list[tuple[int, int, int]]:
        """At most `number` bins: first length, last length, rows. All are equally wide but a last one for outliers."""
        width = -(-(self.usual - self.least + 1) // (number - (self.most > self.usual)))
        edges = list(range(self.least, self.usual + width + 1, width))
        if self.most >= edges[-1]:
            edges.append(self.most + 1)
        rows = self.histogram(edges)
        return [(start, end - 1, found) for (start, end), found in zip(pairwise(edges), rows, strict=True)]

    def histogram(self, edges: Sequence[int]) -> list[int]:
        """Rows from each edge up to, not including, the next."""
        return [int(self.counts[a:z].sum()) for a, z in pairwise(edges)]

    def to_json(self) -> dict[str, Any]:
        lengths = np.flatnonzero(self.counts)
        return {"lengths": lengths.tolist(), "rows": self.counts[lengths].tolist()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        counts = np.zeros(max(values["lengths"], default=-1) + 1, dtype=np.int64)
        counts[values["lengths"]] = values["rows"]
        return cls(counts)
