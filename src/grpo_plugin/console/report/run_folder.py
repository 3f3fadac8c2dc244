"""What a run has left in its folder, as the report reads it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grpo_plugin.console import run_facts
from grpo_plugin.console.json_lines import ALARMS, METRICS, JsonLines
from grpo_plugin.errors import DataError
from grpo_plugin.validation.accuracy import Evaluation
from grpo_plugin.validation.evaluation_log import EvaluationLog


@dataclass(frozen=True)
class RunFolder:
    """One run: rows of `metrics.jsonl` and `alarms.jsonl`, evaluations, the facts of `run.json`."""

    folder: Path
    name: str
    metrics: list[dict[str, Any]]
    alarms: list[dict[str, Any]]
    evaluations: list[Evaluation]
    facts: dict[str, Any]

    @property
    def logs(self) -> list[Path]:
        """The folders of completions."""
        return [self.folder / "generations", self.folder / "validation"]


def read(folders: list[Path]) -> list[RunFolder]:
    """The runs in some folders, each with a name of its own.

    Raises:
        DataError: a folder holds no run.
    """
    names = [folder.resolve().name for folder in folders]
    unique = [name if names.count(name) == 1 else str(folder) for name, folder in zip(names, folders, strict=True)]
    return [_read(folder, name) for folder, name in zip(folders, unique, strict=True)]


def _read(folder: Path, name: str) -> RunFolder:
    metrics, evaluations = JsonLines(folder / METRICS).read(), EvaluationLog(folder / "evaluations.jsonl").read()
    if not metrics and not evaluations and not (folder / "generations").is_dir():
        raise DataError(
            f"{folder}: no run is here, for it has neither {METRICS} nor evaluations.jsonl nor generations/; give the "
            "output_dir of a run."
        )
    return RunFolder(folder, name, metrics, JsonLines(folder / ALARMS).read(), evaluations, run_facts.read(folder))
