"""The JSON schema of a recipe, for editors: Axolotl's keys that have an effect on rl: grpo, and our blocks."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import PydanticSerializationError, core_schema

from grpo_plugin.config.axolotl_values import TrlOptions
from grpo_plugin.config.blocks import BLOCKS
from grpo_plugin.recipe.inheritance import KEY as BASE
from grpo_plugin.recipe.key_effects import EFFECTIVE

Schema = dict[str, Any]


class _Generator(GenerateJsonSchema):
    """Also for Axolotl's models, which have choices and defaults that JSON cannot hold."""

    ignored_warning_kinds = {"non-serializable-default", "skipped-choice"}  # noqa: RUF012 — as pydantic declares it

    def enum_schema(self, schema: core_schema.EnumSchema) -> JsonSchemaValue:
        try:
            return super().enum_schema(schema)
        except PydanticSerializationError:
            return {"type": "string"}

    def handle_invalid_for_json_schema(self, schema: core_schema.CoreSchema, error_info: str) -> JsonSchemaValue:
        return {}


def recipe_schema() -> Schema:
    """The schema of one recipe file. Imports Axolotl's own schema, which takes seconds and loads torch.

    No key is required, and every key may be null: a recipe on a base says only what differs. A key that is unknown may
    only hold a mapping, because recipes define YAML anchors in some.
    """
    from axolotl.utils.schemas.config import AxolotlInputConfig

    axolotl = AxolotlInputConfig.model_json_schema(schema_generator=_Generator)
    definitions = axolotl["$defs"]
    _keep(axolotl, "")
    _keep(definitions["TRLConfig"], "trl.")
    definitions["TRLConfig"]["properties"] |= TrlOptions.model_json_schema(schema_generator=_Generator)["properties"]
    _keep(definitions["VllmConfig"], "vllm.")
    properties = {BASE: _base(), **axolotl["properties"]}
    for name, block in BLOCKS.items():
        schema = block.model.model_json_schema(schema_generator=_Generator)
        definitions |= schema.pop("$defs", {})
        schema.pop("required", None)
        properties[name] = _nullable(schema | {"properties": _nullables(schema["properties"])})
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A recipe of grpo_plugin",
        "type": "object",
        "properties": _nullables(properties),
        "additionalProperties": {"type": ["object", "null"]},
    }
    schema["$defs"] = _reachable(schema, definitions)
    return {key: _plain(value) for key, value in schema.items()}


def _keep(schema: Schema, prefix: str) -> None:
    """Leave out the keys that have no effect, and the list of required keys."""
    schema["properties"] = {key: value for key, value in schema["properties"].items() if prefix + key in EFFECTIVE}
    schema.pop("required", None)
    schema["additionalProperties"] = False


def _base() -> Schema:
    text = {"type": "string"}
    return {
        "description": "Another recipe file, or a list of them, that this recipe changes.",
        "anyOf": [text, {"type": "array", "items": text}],
    }


def _nullables(properties: Mapping[str, Schema]) -> Schema:
    return {key: _nullable(value) for key, value in properties.items()}


def _nullable(schema: Schema) -> Schema:
    """The schema, or null; its description stays outside, where editors look for it."""
    options = schema.get("anyOf", [schema])
    if {"type": "null"} in options or schema == {}:
        return schema
    outer: Schema = {key: schema[key] for key in ("title", "description", "default") if key in schema}
    inner = [{key: value for key, value in schema.items() if key not in outer}] if options == [schema] else options
    return {**outer, "anyOf": [*inner, {"type": "null"}]}


def _reachable(schema: Schema, definitions: Mapping[str, Schema]) -> Schema:
    """The definitions that the schema refers to, directly or through another."""
    found: Schema = {}
    open_ends = [schema]
    while open_ends:
        for name in _references(open_ends.pop()):
            if name not in found:
                found[name] = definitions[name]
                open_ends.append(definitions[name])
    return dict(sorted(found.items()))


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, Mapping):
        if isinstance(reference := schema.get("$ref"), str):
            yield reference.rpartition("/")[2]
        for value in schema.values():
            yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)


def _plain(schema: Any) -> Any:
    """Without `expected`, which is for our own error sentences."""
    if isinstance(schema, Mapping):
        return {key: _plain(value) for key, value in schema.items() if key != "expected"}
    return [_plain(value) for value in schema] if isinstance(schema, list) else schema
