"""A description of the values that a field takes, from its JSON schema: for error sentences and the reference."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Schema = Mapping[str, Any]

WORDS = {
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "boolean": "true or false",
    "object": "keys and values",
    "array": "a list",
    "null": "nothing",
}


def expected(schema: Schema, root: Schema) -> str:
    """`a number over 0 and up to 1`, or the field's own words where it has `json_schema_extra={"expected": …}`.

    Args:
        root: the schema whose `$defs` the references in `schema` are to.
    """
    options = list(dict.fromkeys(_words(option, root) for option in options_of(schema, root)))
    return schema.get("expected") or _joined(options)


def choices(schema: Schema, root: Schema) -> list[str]:
    """The words that a field takes; empty where it takes others too."""
    options = [option for option in options_of(schema, root) if option.get("type") != "boolean"]
    if not all(_values(option) for option in options):
        return []
    return [value for option in options for value in _values(option) if isinstance(value, str)]


def at(schema: Schema, location: Sequence[str | int], root: Schema) -> tuple[Schema, list[str | int]]:
    """The schema of a field inside `schema`, and the parts of `location` that lead there.

    Parts that pydantic adds for members of a union and for validators name no field, and are left out.
    """
    path: list[str | int] = []
    for part in location:
        if (inner := _inner(schema, part, root)) is not None:
            schema = inner
            path.append(part)
    return schema, path


def properties(schema: Schema, root: Schema) -> dict[str, Schema]:
    """The keys that a schema names, with the schema of each."""
    return {key: inner for option in options_of(schema, root) for key, inner in option.get("properties", {}).items()}


def _inner(schema: Schema, part: str | int, root: Schema) -> Schema | None:
    if isinstance(part, int):
        items = (option["items"] for option in options_of(schema, root) if "items" in option)
        return next(items, None)
    return properties(schema, root).get(part) or _named_by_user(schema, part, root)


def _named_by_user(schema: Schema, part: str, root: Schema) -> Schema | None:
    """The schema of the values of a mapping whose keys the user chooses."""
    for option in options_of(schema, root):
        values = [*option.get("patternProperties", {}).items(), ("", option.get("additionalProperties"))]
        for pattern, inner in values:
            if isinstance(inner, Mapping) and re.search(pattern, part):
                return inner
    return None


def options_of(schema: Schema, root: Schema) -> Iterator[Schema]:
    """What a value may be, without null: the members of a union, references resolved."""
    if "$ref" in schema:
        yield from options_of(root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    elif "anyOf" in schema:
        for option in schema["anyOf"]:
            yield from options_of(option, root)
    elif schema.get("type") != "null":
        yield schema


def _values(schema: Schema) -> list[Any]:
    return [schema["const"]] if "const" in schema else list(schema.get("enum", ()))


def _words(schema: Schema, root: Schema) -> str:
    if "expected" in schema:
        return str(schema["expected"])
    if values := _values(schema):
        return _joined([str(value).lower() if isinstance(value, bool) else repr(value) for value in values])
    kind = schema.get("type", "")
    words = _joined([WORDS[one] for one in kind]) if isinstance(kind, list) else WORDS.get(kind, "a value")
    if schema.get("items"):
        least = f" with at least {schema['minItems']} entry" if "minItems" in schema else ""
        return f"{words}{least}, each {expected(schema['items'], root)}"
    return f"{words} {' and '.join(_bounds(schema))}".strip()


def _bounds(schema: Schema) -> Iterator[str]:
    if "minimum" in schema and "maximum" in schema:
        yield f"from {schema['minimum']:g} to {schema['maximum']:g}"
        return
    if "minimum" in schema:
        yield f"of {schema['minimum']:g} or more"
    if "exclusiveMinimum" in schema:
        yield f"over {schema['exclusiveMinimum']:g}"
    if "maximum" in schema:
        yield f"up to {schema['maximum']:g}"
    if "exclusiveMaximum" in schema:
        yield f"under {schema['exclusiveMaximum']:g}"


def _joined(words: Sequence[str]) -> str:
    """`a, b or c`."""
    return " or ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))
