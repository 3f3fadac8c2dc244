"""The reference of the recipe names every key of our blocks, with what it takes, its default and a sentence."""

import pytest

from grpo_plugin.config.blocks import BLOCKS
from grpo_plugin.config.reference import markdown

ROWS = [line for line in markdown().splitlines() if line.startswith("| `")]


def test_every_block_has_its_section_and_its_plugin():
    text = markdown()
    for name, block in BLOCKS.items():
        assert f"## `{name}:`\n\nPlugin `grpo_plugin.{block.plugin}`" in text
    for inner in (
        "`prompts.train[]`",
        "`prompts.validation.<name>`",
        "`rewards.functions[]`",
        "`algorithm.correction`",
    ):
        assert f"### {inner}\n" in text


@pytest.mark.parametrize("block", BLOCKS)
def test_every_key_has_a_row(block):
    section = markdown().split(f"## `{block}:`")[1].split("\n## ")[0]
    for key in BLOCKS[block].model.model_fields:
        assert f"\n| `{key}` | " in section


@pytest.mark.parametrize("row", ROWS)
def test_every_row_says_it_all(row):
    key, value, default, meaning = [cell.strip() for cell in row.strip("|").replace("\\|", "¦").split("|")]
    assert value not in ("", "a value") and default and meaning.endswith("."), key


@pytest.mark.parametrize(
    "row",
    [
        "| `overlong` | `drop`, `error` or `truncate_left` | `drop` |",
        "| `max_failed` | a number from 0 to 1 | `0.1` |",
        "| `gpus` | a whole number of 1 or more | none |",
        "| `functions` | a list with at least 1 entry, each keys and values | required |",
        "| `dynamic_sampling` | true, false or its keys | none |",
        "| `streaming` | true or false | `false` |",
    ],
)
def test_rows_by_hand(row):
    assert any(line.startswith(row) for line in ROWS)
