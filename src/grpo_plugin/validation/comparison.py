"""Two models on the same prompts: their rewards, paired by prompt. P = prompts, G = samples of each."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from grpo_plugin.scoring.aggregate import mean_of_known

TOTAL = "total"
EQUAL = 1e-9  # rewards that differ by no more are equal


@dataclass(frozen=True)
class Answered:
    """What one model made of the prompts.

    Attributes:
        texts: (P, G) completions.
        scores: (P, G) by function and TOTAL; None where there is no score.
    """

    texts: Sequence[Sequence[str]]
    scores: Mapping[str, Sequence[Sequence[float | None]]]

    def means(self, function: str) -> list[float | None]:
        """(P,) the mean over the samples of each prompt."""
        return [mean_of_known(scores) for scores in self.scores[function]]


@dataclass(frozen=True)
class Difference:
    """One reward function on both sides, over the prompts that have a score on both.

    Attributes:
        stderr: of `change`, from its spread over prompts; None for fewer than two.
        better, worse: prompts on which the trained model scores higher, or lower.
    """

    function: str
    base: float
    trained: float
    stderr: float | None
    prompts: int
    better: int
    worse: int

    @property
    def change(self) -> float:
        return self.trained - self.base


@dataclass(frozen=True)
class Comparison:
    """Base and trained model side by side; `prompts` and `answers` (gold, None where unknown) are P texts."""

    prompts: Sequence[str]
    answers: Sequence[str | None]
    base: Answered
    trained: Answered

    def differences(self) -> Iterator[Difference]:
        """One for the total and each function that has scores."""
        for function in self.trained.scores:
            pairs = [pair for pair in self.pairs(function) if None not in pair]
            if pairs:
                yield _difference(function, pairs)  # type: ignore[arg-type]

    def pairs(self, function: str = TOTAL) -> list[tuple[float | None, float | None]]:
        """(P,) the mean rewards of each prompt: base, trained."""
        return list(zip(self.base.means(function), self.trained.means(function), strict=True))


def _difference(function: str, pairs: Sequence[tuple[float, float]]) -> Difference:
    changes = [trained - base for base, trained in pairs]
    return Difference(
        function,
        fmean(base for base, _ in pairs),
        fmean(trained for _, trained in pairs),
        stdev(changes) / math.sqrt(len(changes)) if len(changes) > 1 else None,
        len(pairs),
        sum(change > EQUAL for change in changes),
        sum(change < -EQUAL for change in changes),
    )
