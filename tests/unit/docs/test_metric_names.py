"""The table of metrics has every name that the code logs, and every column of the screen."""

import ast
import re

import pytest

from grpo_plugin.console import log_columns
from tests.unit.docs.pages import DOCS, ROOT, prose

ROOMS = ("trainer", "algorithms", "validation", "scoring")
METRIC = re.compile(r"(?:eval_)?[a-z_]+(?:/[\w{}]+)+|eval_[\w@{}]+")
LOGGED_AS = {"kl/ref": "kl"}  # as TRL calls it


def table() -> set[str]:
    """The names in the first column."""
    rows = [line.split("|")[1] for line in prose(DOCS / "metrics.md").splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


def logged() -> list[str]:
    """Names of metrics in the code, `{}` where a part is filled in."""
    names = set()
    for room in ROOMS:
        for path in (ROOT / "src" / "grpo_plugin" / room).rglob("*.py"):
            nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
            names |= {text for text in map(_text, nodes) if text and METRIC.fullmatch(text)}
            names |= {text for text in map(_added, nodes) if text}
    return sorted(names)


def _added(node: ast.AST) -> str | None:
    """The name in `metrics.add("name", value, …)`."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "add":
        return _text(node.args[0]) if len(node.args) > 1 else None
    return None


def _text(node: ast.AST) -> str | None:
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def is_known(name: str, names: set[str]) -> bool:
    """Whether the table has the name; a part that is filled in stands for any."""
    pattern = re.escape(name).replace(r"\{\}", ".*")
    return any(re.match(pattern, known) for known in names)


@pytest.mark.parametrize("name", logged())
def test_a_metric_of_the_code_is_in_the_table(name: str) -> None:
    assert is_known(LOGGED_AS.get(name, name), table())


def test_the_code_has_been_read() -> None:
    """At least the metrics that no run is without."""
    assert {"rewards/{}/mean", "ratio/mean", "clip/high", "sampler/weight", "kl_coef"} <= set(logged())


def test_a_name_that_is_not_in_the_table_is_found() -> None:
    assert not is_known("groups/unheard_of", table()) and not is_known("eval_nothing", table())


def test_columns_of_the_screen_are_in_the_table() -> None:
    page = prose(DOCS / "metrics.md")
    step, *columns = log_columns.layout([], width=1000)
    assert step.key == "step" and len(columns) > 5
    for column in columns:
        assert column.key in table(), column.key
        assert column.title in page
