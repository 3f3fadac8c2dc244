"""The reference of our blocks as Markdown, made from their models; docs/recipe.md holds what `markdown` returns."""

import json
import re
from collections.abc import Iterator, Mapping
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
        sections.extend(_tables(name, block.model, set()))
    return "\n\n".join(sections) + "\n"


def _about(model: type[BaseModel]) -> str:
    return " ".join((model.__doc__ or "").split())


def _tables(path: str, model: type[BaseModel], seen: set[type[BaseModel]]) -> Iterator[str]:
    """The table of a model, then those of the models inside it that were not `seen`, each under its path."""
    root = model.model_json_schema()
    rows = [
        f"| `{key}` | {_value(expected(root['properties'][key], root))} | {_default(field)} "
        f"| {_cell(field.description or '')} |"
        for key, field in model.model_fields.items()
    ]
    yield "\n".join([HEAD, *rows])
    inside: dict[type[BaseModel], list[str]] = {}
    for key, field in model.model_fields.items():
        for inner in _models(field.annotation):
            inside.setdefault(inner, []).append(f"{path}.{key}{_entry(root['properties'][key], root)}")
    new = {inner: paths for inner, paths in inside.items() if inner not in seen}
    seen.update(new)
    for inner, paths in new.items():
        yield f"### {', '.join(f'`{path}`' for path in paths)}\n\n{_about(inner)}"
        yield from _tables(paths[0], inner, seen)


def _entry(schema: Mapping[str, Any], root: Mapping[str, Any]) -> str:
    """What stands behind the key of a field whose entries are blocks: `.<name>` in a mapping, `[]` in a list."""
    options = list(options_of(schema, root))
    if any(
        isinstance(option.get("additionalProperties"), Mapping) or "patternProperties" in option for option in options
    ):
        return ".<name>"
    return "[]" if any("items" in option for option in options) else ""


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return "its defaults"
    if value is None or value in ({}, [], ()):
        return "none"
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _value(words: str) -> str:
    """The words of `expected`, with the values that a field takes as code."""
    return _cell(re.sub(r"'([^']*)'", r"`\1`", words))


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
