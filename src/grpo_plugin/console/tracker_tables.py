"""How each tracker takes a table of answers and the picture of the curve; real parts of its module, as its run goes on.

Every function gets the tracker's module, which transformers or Axolotl has imported and whose run they have begun.
TensorBoard and Trackio get no curve: theirs is closed by then, and both draw it from the metrics.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ANSWERS, CURVE = "eval/answers", "curve"

Rows = Sequence[Sequence[Any]]


@dataclass(frozen=True)
class Tracker:
    """Attributes:
    report_to: its name among transformers' `report_to`; None for one that Axolotl's own plugin begins.
    running: whether its run goes on, or may still be added to.
    table: logs columns and rows after an optimizer step.
    curve: logs the picture in a file after an optimizer step; None where there is no way.
    """

    report_to: str | None
    running: Callable[[Any], bool]
    table: Callable[[Any, Sequence[str], Rows, int], None]
    curve: Callable[[Any, Path, int], None] | None = None


def markdown(columns: Sequence[str], rows: Rows) -> str:
    """A table in Markdown, each row on one line."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(_cell(value) for value in line)} |" for line in lines)


def _cell(value: Any) -> str:
    return "" if value is None else " ".join(str(value).replace("|", "\\|").split())


def _wandb_table(wandb: Any, columns: Sequence[str], rows: Rows, step: int) -> None:
    wandb.log({ANSWERS: wandb.Table(columns=list(columns), data=list(rows)), "train/global_step": step})


def _wandb_curve(wandb: Any, file: Path, step: int) -> None:
    wandb.log({CURVE: wandb.Image(str(file)), "train/global_step": step})


def _trackio_table(trackio: Any, columns: Sequence[str], rows: Rows, step: int) -> None:
    from pandas import DataFrame

    table = trackio.Table(dataframe=DataFrame(list(rows), columns=list(columns)))
    trackio.log({ANSWERS: table, "train/global_step": step})


def _comet_table(comet: Any, columns: Sequence[str], rows: Rows, step: int) -> None:
    experiment = comet.get_running_experiment()
    experiment.log_table(f"{ANSWERS}-{step}.csv", tabular_data=[list(row) for row in rows], headers=list(columns))


def _comet_curve(comet: Any, file: Path, step: int) -> None:
    comet.get_running_experiment().log_image(str(file), name=CURVE, step=step)


def _mlflow_table(mlflow: Any, columns: Sequence[str], rows: Rows, step: int) -> None:
    data = {name: [row[place] for row in rows] for place, name in enumerate(columns)}
    mlflow.log_table(data, artifact_file=f"{ANSWERS}-{step}.json")


def _mlflow_curve(mlflow: Any, file: Path, step: int) -> None:
    mlflow.MlflowClient().log_artifact(mlflow.last_active_run().info.run_id, str(file))  # it has ended


def _swanlab_table(swanlab: Any, columns: Sequence[str], rows: Rows, step: int) -> None:
    swanlab.log({ANSWERS: swanlab.echarts.Table().add(list(columns), [list(row) for row in rows])}, step=step)


def _swanlab_curve(swanlab: Any, file: Path, step: int) -> None:
    swanlab.log({CURVE: swanlab.Image(str(file))}, step=step)


TRACKERS = {
    "wandb": Tracker("wandb", lambda module: module.run is not None, _wandb_table, _wandb_curve),
    "trackio": Tracker("trackio", lambda module: module.context_vars.current_run.get() is not None, _trackio_table),
    "comet_ml": Tracker(
        "comet_ml", lambda module: module.get_running_experiment() is not None, _comet_table, _comet_curve
    ),
    "mlflow": Tracker("mlflow", lambda module: module.last_active_run() is not None, _mlflow_table, _mlflow_curve),
    "swanlab": Tracker(None, lambda module: module.get_run() is not None, _swanlab_table, _swanlab_curve),
}
"""By the name of the module."""
