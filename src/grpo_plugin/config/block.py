"""The base of all recipe blocks: unknown keys are errors, and each mistake is one readable sentence."""

from collections.abc import Iterable, Mapping
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from grpo_plugin.config.expected import at, choices, expected, properties
from grpo_plugin.errors import RecipeError, suggestion

Model = TypeVar("Model", bound=BaseModel)


class Block(BaseModel):
    """A strict recipe block: an unknown key is an error that names the nearest known one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def parse(cls, name: str, values: Mapping[str, Any] | None) -> Self:
        """Read the block called `name`; an absent block is all defaults.

        Raises:
            RecipeError: for the first mistake found, naming field, value, what is expected and the remedy.
        """
        if values is not None and not isinstance(values, Mapping):
            raise RecipeError(
                f"{name}: expected keys and values, got {values!r}; known keys: {', '.join(cls.model_fields)}."
            )
        return parse_model(cls, name, dict(values or {}))


def parse_model(model: type[Model], name: str, values: Mapping[str, Any]) -> Model:
    """`values` as the model reads them; `name` is the block they stand in, "" for the top level of the recipe.

    Raises:
        RecipeError: for the first mistake found.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise RecipeError(sentence(model, name, error.errors())) from None


def unknown_key(path: str, key: str, keys: Iterable[str]) -> str:
    """The sentence for an unknown key under `path` ("" at the top level of the recipe)."""
    keys = list(keys)
    where = f"{path}.{key}" if path else key
    listed = f"known keys: {', '.join(keys)}."
    return f"{where}: unknown key; {suggestion(key, keys, listed)}"


def sentence(model: type[BaseModel], name: str, mistakes: list[ErrorDetails]) -> str:
    """The most specific of pydantic's errors, in one sentence: field, value, what is expected, remedy.

    A member of a union that a value was not meant for gives an error too: an unknown key goes first, then the field
    that lies deepest.
    """
    root = model.model_json_schema()
    unknown = (mistake for mistake in mistakes if mistake["type"] == "extra_forbidden")
    same_field = [mistake for mistake in mistakes if mistake["loc"][:1] == mistakes[0]["loc"][:1]]
    error = next(unknown, None) or max(same_field, key=lambda mistake: len(at(root, mistake["loc"], root)[1]))
    if error["type"] == "extra_forbidden":
        owner, path = at(root, error["loc"][:-1], root)
        return unknown_key(_dotted(name, path), str(error["loc"][-1]), properties(owner, root))
    field, path = at(root, error["loc"], root)
    where = _dotted(name, path)
    if error["type"] == "missing":
        return f"{where}: required and missing; add it{f' to the {name!r} block' if name else ''}."
    message, value = error["msg"], error["input"]
    if error["type"] == "value_error":
        message = message.removeprefix("Value error, ")
        return f"{where}: {message}." if isinstance(value, Mapping) else f"{where}: {message}, got {value!r}."
    if isinstance(value, str) and (words := choices(field, root)):
        return f"{where}: unknown value {value!r}; {suggestion(value, words)}"
    return f"{where}: expected {expected(field, root)}, got {value!r}."


def _dotted(name: str, parts: Iterable[Any]) -> str:
    path = name
    for part in parts:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path
