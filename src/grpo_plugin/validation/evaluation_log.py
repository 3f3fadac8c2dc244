"""The evaluations of a run, one JSON line each; a resumed run goes on with the file."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from grpo_plugin.files import atomic_write
from grpo_plugin.validation.evaluation import Accuracy, Evaluation


class EvaluationLog:
    """`path` holds one line per evaluation, in the order of the steps."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, evaluation: Evaluation) -> None:
        """Add an evaluation; those of the same and of later steps, which a resumed run repeats, are removed.

        The file is replaced as a whole: a reader never sees half a line.
        """
        kept = [earlier for earlier in self.read() if earlier.step < evaluation.step]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lines = (json.dumps(asdict(each)) + "\n" for each in [*kept, evaluation])
        with atomic_write(self.path) as file:
            file.write_text("".join(lines), encoding="utf-8")

    def read(self) -> list[Evaluation]:
        if not self.path.exists():
            return []
        return [_evaluation(json.loads(line)) for line in self.path.read_text(encoding="utf-8").splitlines()]


def _evaluation(values: dict[str, Any]) -> Evaluation:
    groups = {group: _accuracy(part) for group, part in values.pop("groups").items()}
    return Evaluation(overall=_accuracy(values.pop("overall")), groups=groups, **values)


def _accuracy(values: dict[str, Any]) -> Accuracy:
    # JSON has no integer keys.
    pass_at = {int(k): chance for k, chance in values.pop("pass_at").items()}
    return Accuracy(pass_at=pass_at, **values)
