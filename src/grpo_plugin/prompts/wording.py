"""The chat messages of a row: the recipe's system message, and the question in the recipe's Jinja template."""

from pathlib import Path
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError, TemplateSyntaxError, pass_context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from grpo_plugin.errors import RecipeError
from grpo_plugin.prompts.row_errors import RowError

Message = dict[str, Any]

# Marks the place of an image in a text.
MARK = "<image>"


def template_text(template: str, base_dir: Path) -> str:
    """The text of `prompts.template`: that of a file beside the recipe or in the working directory, or its own.

    Raises:
        RecipeError: neither a file nor Jinja text.
    """
    if "\n" in template or "{" in template:
        return template
    for path in (base_dir / template, Path(template)):
        if path.is_file():
            return path.read_text(encoding="utf-8").strip()
    tried = " or ".join(dict.fromkeys((str(base_dir), str(Path.cwd()))))
    raise RecipeError(
        f"prompts.template: {template!r} is no file in {tried}, and no Jinja text such as "
        "'{{ content }}'; correct the path."
    )


def compile_template(text: str) -> Template:
    """Compile Jinja text in a sandbox in which an unknown column is an error.

    Raises:
        RecipeError: Jinja that does not parse.
    """
    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, optimized=False, finalize=_unchanged)
    try:
        return environment.from_string(text)
    except TemplateSyntaxError as error:
        raise RecipeError(f"prompts.template: line {error.lineno}: {error.message}; correct the template.") from None


@pass_context
def _unchanged(context: Any, value: Any) -> Any:
    """The value. With a function of the context Jinja computes no constant while it compiles, where nothing ends it."""
    return value


def chat_messages(question: Any, row: dict[str, Any], template: Template | None, system: str | None) -> list[Message]:
    """The chat messages of one row.

    Args:
        question: text, or chat messages; the template is applied to the text, or to the last user message. A last
            message of the assistant stays last, and the completion continues it.
        row: every column, which the template gets beside `content`.

    Raises:
        RowError: an empty question, messages that are not messages, a column the template needs and the row lacks.
    """
    messages = _messages(question)
    if template is not None:
        messages = _with_template(messages, row, template)
    if system is None:
        return messages
    if messages[0]["role"] == "system":
        raise RowError("a system message of its own (prompts.system would be a second one)")
    return [{"role": "system", "content": system}, *messages]


def empty_prompt(system: str | None) -> list[Message]:
    """The chat that an environment's observation is appended to."""
    user = {"role": "user", "content": ""}
    return [user] if system is None else [{"role": "system", "content": system}, user]


def _messages(question: Any) -> list[Message]:
    if isinstance(question, str):
        if not question.strip():
            raise RowError("an empty prompt")
        return [{"role": "user", "content": question}]
    if not isinstance(question, list) or not all(isinstance(m, dict) and m.get("role") for m in question):
        raise RowError(f"a prompt that is {type(question).__name__}, neither text nor a list of chat messages")
    asked = [message.get("content") for message in question if message["role"] == "user"]
    if _is_empty(asked[-1] if asked else [message.get("content") for message in question]):
        raise RowError("an empty prompt")
    return [{key: value for key, value in message.items() if value is not None} for message in question]


def _with_template(messages: list[Message], row: dict[str, Any], template: Template) -> list[Message]:
    last = max((i for i, message in enumerate(messages) if message["role"] == "user"), default=None)
    if last is None:
        raise RowError("no user message for the template")
    try:
        content = template.render({**row, "content": _as_text(messages[last]["content"])})
    except MemoryError:
        raise
    except Exception as error:  # a template can raise anything: TypeError, ZeroDivisionError, OverflowError …
        reason = str(error) if isinstance(error, TemplateError) else f"{type(error).__name__}: {error}"
        raise RowError(f"columns that do not fit the template ({reason})") from None
    if not content.strip():
        raise RowError("an empty prompt after the template")
    return [*messages[:last], {**messages[last], "content": content}, *messages[last + 1 :]]


def _is_empty(content: Any) -> bool:
    """Whether a content, or each of several, has neither text nor an image."""
    if isinstance(content, list):
        return all(_is_empty(part) for part in content)
    if isinstance(content, dict):
        return content.get("type") != "image" and _is_empty(content.get("text"))
    return content is None or not str(content).strip()


def _as_text(content: Any) -> str:
    """A message's content as text; images among content blocks become marks again."""
    if isinstance(content, str):
        return content
    return "".join(MARK if block.get("type") == "image" else block.get("text") or "" for block in content)
