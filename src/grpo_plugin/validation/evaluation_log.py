"""The evaluations of a run, one JSON line each; a resumed run goes on with the file."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from grpo_plugin.files import atomic_write
from grpo_plugin.validation.accuracy import Accuracy, Evaluation


class EvaluationLog:
    """`path` holds one line per evaluation of a set of held-out prompts, in the order of the steps."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, evaluations: Sequence[Evaluation]) -> None:
        """Add the evaluations of one step; those of it and of later steps, which a resumed run repeats, are removed.

        The file is replaced as a whole: a reader never sees half a line.
        """
        self._write([*(earlier for earlier in self.read() if earlier.step < evaluations[0].step), *evaluations])

    def replace(self, evaluations: Sequence[Evaluation]) -> None:
        """Add evaluations of a finished model; of the earlier ones those of the same step and set are removed."""
        again = {(each.step, each.set) for each in evaluations}
        self._write([*(earlier for earlier in self.read() if (earlier.step, earlier.set) not in again), *evaluations])

    def keep_until(self, step: int) -> None:
        """Remove the evaluations after `step`, the one that a run goes on from; all of an earlier run's for 0."""
        if self.path.exists():
            self._write([earlier for earlier in self.read() if step and earlier.step <= step])

    def read(self) -> list[Evaluation]:
        if not self.path.exists():
            return []
        return [_evaluation(json.loads(line)) for line in self.path.read_text(encoding="utf-8").splitlines()]

    def _write(self, evaluations: Sequence[Evaluation]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(self.path) as file:
            file.write_text("".join(json.dumps(asdict(each)) + "\n" for each in evaluations), encoding="utf-8")


def _evaluation(values: dict[str, Any]) -> Evaluation:
    groups = {group: _accuracy(part) for group, part in values.pop("groups").items()}
    return Evaluation(overall=_accuracy(values.pop("overall")), groups=groups, **values)


def _accuracy(values: dict[str, Any]) -> Accuracy:
    for name in ("pass_at", "majority_at"):  # JSON has no integer keys
        values[name] = {int(k): chance for k, chance in values.get(name, {}).items()}
    return Accuracy(**values)
