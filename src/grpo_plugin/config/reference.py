"""The reference of our blocks as Markdown, made from their models; docs/recipe.md holds what `markdown` returns."""

import json
import re
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from grpo_plugin.config.blocks import BLOCKS
from grpo_plugin.config.expected import expected, options_of

HEAD = "| key | value | default | meaning |\n|---|---|---|---|"


def markdown() -> str:
    """One section per block: its plugin, what it is for, and a table of its keys; blocks inside it follow."""
    sections = []
    for name, block in BLOCKS.items():
        need = "is required with it" if block.required else "may be left out"
        sections.append(f"## `{name}:`\n\nPlugin `grpo_plugin.{block.plugin}`; the block {need}. {_about(block.model)}")
        sections.extend(_tables(name, block.model))
    return "\n\n".join(sections) + "\n"


def _about(model: type[BaseModel]) -> str:
    return " ".join((model.__doc__ or "").split())


def _tables(path: str, model: type[BaseModel]) -> Iterator[str]:
    """The table of a model, then those of the models inside it, each under its path."""
    root = model.model_json_schema()
    rows = [
        f"| `{key}` | {_value(expected(root['properties'][key], root))} | {_default(field)} "
        f"| {_cell(field.description or '')} |"
        for key, field in model.model_fields.items()
    ]
    yield "\n".join([HEAD, *rows])
    inside: dict[type[BaseModel], list[str]] = {}
    for key, field in model.model_fields.items():
        is_list = any("items" in option for option in options_of(root["properties"][key], root))
        for inner in _models(field.annotation):
            inside.setdefault(inner, []).append(f"{path}.{key}{'[]' if is_list else ''}")
    for inner, paths in inside.items():
        yield f"### {', '.join(f'`{path}`' for path in paths)}\n\n{_about(inner)}"
        yield from _tables(paths[0], inner)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None or value in ({}, [], ()):
        return "none"
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _value(words: str) -> str:
    """The words of `expected`, with the values that a field takes as code."""
    return _cell(re.sub(r"'([^']*)'", r"`\1`", words))


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
