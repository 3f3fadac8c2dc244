"""Which chat template renders episodes, and how calls are written in it: decided and checked before a run starts."""

from copy import copy
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from grpo_plugin.config.environments import EnvironmentsConfig
from grpo_plugin.environments.calls import Message, ToolCall
from grpo_plugin.environments.limited_calls import error_text
from grpo_plugin.environments.rendering import (
    DUMMY_ARGUMENTS,
    DUMMY_QUESTION,
    NOT_PREFIX_PRESERVING,
    ChatRenderer,
    dummy_turn,
)
from grpo_plugin.environments.turn_reading import (
    FORMATS,
    ResponseTemplateReader,
    TextReader,
    TurnReader,
)
from grpo_plugin.errors import RecipeError

DUMMY_CALL = ToolCall("look_a8f3e2b1", DUMMY_ARGUMENTS)
DUMMY_RESULT = "result_c4f9a8e2"


@dataclass(frozen=True)
class Rendering:
    """A renderer whose template was checked, and the reader of what the model writes.

    Attributes:
        notes: what a user should know of the choice, a line each.
    """

    renderer: ChatRenderer
    reader: TurnReader
    notes: tuple[str, ...] = ()

    @classmethod
    def choose(cls, renderer: ChatRenderer, config: EnvironmentsConfig, base_dir: Path) -> "Rendering":
        """As the recipe says, or as fits the tokenizer.

        Raises:
            RecipeError: the template cannot render calls and results, or would change what the model wrote; or the
                format of calls is neither given nor found.
        """
        notes = []
        if config.chat_template is not None:
            renderer = renderer.with_template(_file(config.chat_template, base_dir))
            if problem := template_problem(renderer):
                raise RecipeError(problem)
        elif problem := template_problem(renderer):
            renderer = renderer.with_template(_training_template(renderer, problem))
            notes.append("episodes are rendered with TRL's training version of the chat template")
        return cls(renderer, _reader(renderer, config.call_format), tuple(notes))


def template_problem(renderer: ChatRenderer) -> str | None:
    """Why episodes cannot be rendered with this template, as an error's sentence; None where they can."""
    turns: list[Message] = [{"role": "user", "content": DUMMY_QUESTION}]
    try:
        for _ in range(2):
            turns.append(dummy_turn(DUMMY_CALL))
            before = renderer.text(turns)
            turns.append({"role": "tool", "name": DUMMY_CALL.name, "content": DUMMY_RESULT})
            after = renderer.text(turns, opens_turn=True)
            if not after.startswith(before):
                return NOT_PREFIX_PRESERVING
    except Exception as error:  # templates raise what Jinja, their own raise_exception and Python raise
        return (
            "environments.chat_template: the chat template cannot render a tool call and its result "
            f"({error_text(error)}); name a template that can."
        )
    for part, what in ((DUMMY_CALL.name, "a call's name"), *_ARGUMENTS, (DUMMY_RESULT, "a tool's result")):
        if part not in after:
            return f"environments.chat_template: the chat template leaves out {what}; name a template for tools."
    return None


_ARGUMENTS = [(text, "a call's arguments") for argument in DUMMY_ARGUMENTS.items() for text in argument]


def _training_template(renderer: ChatRenderer, problem: str) -> str:
    """TRL's version of the tokenizer's template, where it has one without the problem; else RecipeError."""
    from trl.chat_template_utils import get_training_chat_template

    try:
        template = get_training_chat_template(renderer.processing_class)
    except Exception:  # TRL knows no version of this template
        template = None
    if template is None or template_problem(renderer.with_template(template)):
        raise RecipeError(problem)
    return template


def _reader(renderer: ChatRenderer, call_format: str) -> TurnReader:
    """The reader of the format that the recipe names; for auto, the first that reads the template's own call.

    Raises:
        RecipeError: there is none.
    """
    if call_format in FORMATS:
        return TextReader(renderer, call_format)
    opened, written = _written_call(renderer)
    own, known = renderer.tokenizer.response_template, _response_template_of_trl(renderer)
    readers: list[TurnReader] = [ResponseTemplateReader(renderer, own)] if own is not None else []
    if call_format == "auto":
        readers += [TextReader(renderer, name) for name in FORMATS]
    readers += [ResponseTemplateReader(renderer, known)] if known is not None else []
    if call_format == "transformers" and readers:
        return readers[0]
    for reader in readers:
        if list(reader.read_text(written, opened).calls) == [DUMMY_CALL]:
            return reader
    raise RecipeError(
        "environments.call_format: no known format reads the call that the chat template writes "
        f"({written!r}); choose one of {', '.join(FORMATS)}."
        if readers
        else "environments.call_format: neither the tokenizer nor TRL has a response template for 'transformers'; "
        f"choose one of {', '.join(FORMATS)}."
    )


def _response_template_of_trl(renderer: ChatRenderer) -> Any:
    """What TRL would set as the tokenizer's response template; None where it knows none for its chat template."""
    from trl.chat_template_utils import add_response_schema

    tokenizer = copy(renderer.tokenizer)
    try:
        add_response_schema(tokenizer)
    except Exception:
        return None
    return tokenizer.response_template


def _written_call(renderer: ChatRenderer) -> tuple[str, str]:
    """The text that opens a turn, and a turn that is a call, as the template writes it, without its end."""
    turns: list[Message] = [{"role": "user", "content": DUMMY_QUESTION}]
    opened = renderer.text(turns, opens_turn=True)
    text = renderer.text([*turns, dummy_turn(DUMMY_CALL)])
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(opened, text, strict=False)))
    begin, _ = renderer.end_of_turn(text)
    return opened, text[same:begin].strip()


def _file(path: str, base_dir: Path) -> str:
    for root in (base_dir, Path.cwd()):
        if (root / path).is_file():
            return (root / path).read_text(encoding="utf-8")
    raise RecipeError(f"environments.chat_template: no file {path!r} beside the recipe or in the working directory.")
