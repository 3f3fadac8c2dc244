"""Writes the report: HTML, scripts, Plotly and the data in one file, which asks nothing of any other host."""

import base64
import gzip
import html
import json
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any, TextIO

from grpo_plugin.console.report import charts, completions, recipes, sampling, series, validations
from grpo_plugin.console.report.run_folder import RunFolder, read
from grpo_plugin.files import atomic_write

ROWS = 100_000  # completions of a report, over all its runs
BYTES = 120_000_000  # of their text, before compression
SCRIPTS = (
    "data.js",
    "dom.js",
    "charts.js",
    "completions.js",
    "search.js",
    "detail.js",
    "tokens.js",
    "facts.js",
    "main.js",
)
LEVEL = 3  # of gzip: half the time of 6, a tenth more bytes


@dataclass(frozen=True)
class Written:
    """What is in the file: its bytes, and for each run a sentence about its completions."""

    bytes: int
    sentences: list[str]


def write_report(folders: Sequence[Path], path: Path, rows: int = ROWS, size: int = BYTES) -> Written:
    """Write the report of the runs in `folders` to `path`; it is replaced as a whole.

    Args:
        rows, size: completions, and bytes of their text, that the report holds at most.

    Raises:
        DataError: a folder holds no run.
    """
    runs = read(list(folders))
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        before, after = (
            Template(_asset("page.html"))
            .substitute(
                title=html.escape(", ".join(run.name for run in runs)),
                style=_asset("style.css"),
                plotly=(files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8"),
                scripts="\n".join(_asset(name) for name in SCRIPTS),
                data="\0",
            )
            .split("\0")
        )
        file.write(before)
        texts = [_write_run(file, number, run, rows // len(runs), size // len(runs)) for number, run in enumerate(runs)]
        _write_data(file, "report", _report(runs, texts))
        file.write(after)
    return Written(path.stat().st_size, [text["sentence"] for text in texts])


def _report(runs: Sequence[RunFolder], texts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What the page reads first: everything but the completions."""
    shown: list[dict[str, Any]] = [
        {
            "name": run.name,
            "series": series.of_run(run),
            "validations": validations.curves(run.evaluations),
            "metric": run.evaluations[-1].metric if run.evaluations else None,
            "alarms": run.alarms,
            "facts": {key: value for key, value in run.facts.items() if key != "recipe"},
            "recipe": recipes.as_yaml(run.facts.get("recipe", {})),
            "completions": text,
        }
        for run, text in zip(runs, texts, strict=True)
    ]
    names = dict.fromkeys(name for run in shown for name in run["series"]["metrics"])
    return {
        "runs": shown,
        "charts": charts.charts(names),
        "differences": recipes.differences([run.facts.get("recipe", {}) for run in runs]),
    }


def _write_run(file: TextIO, number: int, run: RunFolder, rows: int, size: int) -> dict[str, Any]:
    """Write the completions of one run; returns what the page must know of them."""
    chosen = sampling.choose(sampling.log_files(run.logs), rows, size)
    index, pages = completions.Index(), 0
    for page in completions.pages(chosen, index):
        _write_data(file, f"page-{number}-{pages}", page)
        pages += 1
    for name, values in index.columns.items():
        _write_bytes(file, f"index-{number}-{name}", array("f", values).tobytes())
    _write_data(file, f"prompts-{number}", list(index.prompts))
    return {
        "rows": len(index),
        "pages": pages,
        "page": completions.PAGE,
        "columns": list(index.columns),
        "sentence": chosen.sentence,
    }


def _write_data(file: TextIO, name: str, value: Any) -> None:
    _write_bytes(file, name, json.dumps(value, ensure_ascii=False, default=str).encode())


def _write_bytes(file: TextIO, name: str, data: bytes) -> None:
    """Base64 of gzip: no text of a run can end the script element, or be read as HTML."""
    text = base64.b64encode(gzip.compress(data, LEVEL, mtime=0)).decode()
    file.write(f'<script type="text/plain" id="data-{name}">{text}</script>\n')


def _asset(name: str) -> str:
    return (files(__package__) / "assets" / name).read_text(encoding="utf-8")
