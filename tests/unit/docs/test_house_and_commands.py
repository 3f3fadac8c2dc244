"""What pages say of the code: the house that test_architecture.py checks, all commands, the number of presets."""

import re

import pytest

from grpo_plugin.algorithms.presets import PRESETS
from grpo_plugin.cli.main import COMMANDS
from tests.unit.docs.pages import DOCS, PAGES, prose
from tests.unit.test_architecture import FLOORS

ROOM = re.compile(r"`([a-z_]+)(?:/|\.py)`")


def test_the_floors_stand_in_order() -> None:
    rows = re.findall(r"^\| (\d+) \| ([^|]+)", prose(DOCS / "architecture.md"), re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, len(FLOORS) + 1))
    assert [set(ROOM.findall(rooms)) for _, rooms in rows] == FLOORS


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_on_the_page(name: str) -> None:
    assert f"`axolotl grpo {name}" in prose(DOCS / "commands.md")


def test_the_number_of_presets() -> None:
    said = [number for page in PAGES for number in re.findall(r"(\d+)\s+presets", page.read_text(encoding="utf-8"))]
    assert said and set(said) == {str(len(PRESETS))}
