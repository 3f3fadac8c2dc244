"""The evaluations of a run as curves with bands."""

from collections.abc import Sequence
from typing import Any

from grpo_plugin.config.prompts import VALIDATION
from grpo_plugin.validation.accuracy import Evaluation, by_set

WIDTH = 1.96  # standard errors on each side: 95 %


def curves(evaluations: Sequence[Evaluation]) -> list[dict[str, Any]]:
    """One curve for each figure of each set over all its prompts: `name`, `steps`, `values`, `low`, `high`.

    The band is 1.96 standard errors, by bootstrap over prompts, on each side; None where the error is not known.
    """
    found: dict[str, dict[str, Any]] = {}
    for held_out, of_set in by_set(evaluations).items():
        for evaluation in of_set:
            for figure, value in evaluation.overall.figures():
                if value is None:
                    continue
                name = figure if held_out == VALIDATION else f"{held_out}: {figure}"
                curve = found.setdefault(name, {"name": name, "steps": [], "values": [], "low": [], "high": []})
                error = evaluation.overall.stderr.get(figure)
                curve["steps"].append(evaluation.step)
                curve["values"].append(value)
                curve["low"].append(None if error is None else value - WIDTH * error)
                curve["high"].append(None if error is None else value + WIDTH * error)
    return list(found.values())
