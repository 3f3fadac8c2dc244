"""The page on the house is the house that test_architecture.py checks; the page on commands has them all."""

import re

import pytest

from grpo_plugin.cli.main import COMMANDS
from tests.unit.docs.pages import DOCS, prose
from tests.unit.test_architecture import FLOORS

ROOM = re.compile(r"`([a-z_]+)(?:/|\.py)`")


def test_the_floors_stand_in_order() -> None:
    rows = re.findall(r"^\| (\d+) \| ([^|]+)", prose(DOCS / "architecture.md"), re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, len(FLOORS) + 1))
    assert [set(ROOM.findall(rooms)) for _, rooms in rows] == FLOORS


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_on_the_page(name: str) -> None:
    assert f"`axolotl grpo {name}" in prose(DOCS / "commands.md")
