"""What all recipe blocks share: strictness, and one readable sentence per mistake."""

from collections.abc import Iterable, Mapping
from typing import Any, Self, get_args

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from grpo_plugin.errors import RecipeError, suggestion


class Block(BaseModel):
    """A strict recipe block: an unknown key is an error that names the nearest known one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def parse(cls, name: str, values: Mapping[str, Any] | None) -> Self:
        """Read the block called `name`; an absent block is all defaults.

        Raises:
            RecipeError: for the first mistake found, naming field, value, what is known and the remedy.
        """
        if values is not None and not isinstance(values, Mapping):
            raise RecipeError(f"{name}: expected keys and values, got {values!r}; known keys: {known(cls)}.")
        try:
            return cls.model_validate(dict(values or {}))
        except ValidationError as error:
            mistakes = error.errors()
            unknown = (mistake for mistake in mistakes if mistake["type"] == "extra_forbidden")
            raise RecipeError(sentence(cls, name, next(unknown, mistakes[0]))) from None


def known(model: type[BaseModel]) -> str:
    return ", ".join(model.model_fields)


def unknown_key(path: str, key: str, keys: Iterable[str]) -> str:
    """The sentence for an unknown key under `path` ("" at the top level of the recipe)."""
    keys = list(keys)
    where = f"{path}.{key}" if path else key
    listed = f"known keys: {', '.join(keys)}."
    return f"{where}: unknown key; {suggestion(key, keys, listed)}"


def sentence(model: type[BaseModel], name: str, error: ErrorDetails) -> str:
    """Turn one pydantic error into: field, value, what is known, remedy."""
    location = [part for part in error["loc"] if not (isinstance(part, str) and part.startswith("function-"))]
    owner = _model_at(model, location[:-1])
    if error["type"] == "extra_forbidden":
        return unknown_key(_dotted([name, *location[:-1]]), str(location[-1]), owner.model_fields)
    where = _dotted([name, *location])
    if error["type"] == "missing":
        return f"{where}: required and missing; add it to the {name!r} block."
    message = error["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    return f"{where}: {message}, got {error['input']!r}."


def _dotted(parts: Iterable[Any]) -> str:
    path = ""
    for part in parts:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path


def _model_at(model: type[BaseModel], location: Iterable[Any]) -> type[BaseModel]:
    """The nested model that owns a location; the nearest enclosing one if the path leaves models."""
    for part in location:
        field = model.model_fields.get(part) if isinstance(part, str) else None
        if field is not None:
            model = _inner_model(field.annotation) or model
    return model


def _inner_model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in get_args(annotation):
        if inner := _inner_model(argument):
            return inner
    return None
