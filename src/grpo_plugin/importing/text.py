"""A draft as a recipe's text: each value with where it comes from, then what was left and why."""

from typing import Any

import yaml

from grpo_plugin.importing.draft import Draft
from grpo_plugin.importing.easyr1 import Imported

_COLUMN = 44


def recipe_text(imported: Imported) -> str:
    """YAML with comments, the command that starts it in the first lines."""
    draft = imported.draft
    lines = ["# Imported from EasyR1; `axolotl grpo plan` says what it needs.", "#", f"#     {imported.command}"]
    in_block = True
    for key, value in draft.recipe().items():
        is_block = key not in draft.values
        lines += [""] if is_block or in_block else []
        lines += _block(draft, key, value) if is_block else _entry(draft, key)
        in_block = is_block
    if draft.left:
        lines += ["", "# Not taken over:"]
        lines += [f"#   {left.key}: {_inline(left.value)} — {left.reason}" for left in draft.left]
    return "\n".join(lines) + "\n"


def _block(draft: Draft, block: str, values: dict[str, Any]) -> list[str]:
    return [f"{block}:", *(line for inner in values for line in _entry(draft, f"{block}.{inner}"))]


def _entry(draft: Draft, key: str) -> list[str]:
    indent, name = ("  ", key.partition(".")[2]) if "." in key else ("", key)
    value, origin = draft.values[key], draft.origins[key]
    if isinstance(value, list) and value and isinstance(value[0], dict):
        head = _commented(f"{indent}{name}:", origin)
        return [head, *(f"{indent}  - {_inline(item)}" for item in value)]
    return [_commented(f"{indent}{name}: {_inline(value)}", origin)]


def _commented(text: str, origin: str) -> str:
    return f"{text:<{_COLUMN - 2}}  # {origin}" if origin else text


def _inline(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=10**6, allow_unicode=True, sort_keys=False)
    return text.removesuffix("\n").removesuffix("\n...").strip()
