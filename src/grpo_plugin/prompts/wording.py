"""How a row is worded: its question through the recipe's Jinja template, under the recipe's system message."""

from pathlib import Path
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError, TemplateSyntaxError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from grpo_plugin.errors import RecipeError

Messages = list[dict[str, Any]]


class Fault(ValueError):
    """What is wrong with one row, said without its number."""


def compile_template(template: str, base_dir: Path) -> Template:
    """The template of `prompts.template`: a file beside the recipe or in the working directory, or Jinja text.

    Raises:
        RecipeError: neither a file nor Jinja text, or Jinja that does not parse.
    """
    text = _template_text(template, base_dir)
    try:
        return ImmutableSandboxedEnvironment(undefined=StrictUndefined).from_string(text)
    except TemplateSyntaxError as error:
        raise RecipeError(f"prompts.template: {template!r}, line {error.lineno}: {error.message}; mend it.") from None


def _template_text(template: str, base_dir: Path) -> str:
    if "\n" not in template and "{" not in template:
        for path in (base_dir / template, Path(template)):
            if path.is_file():
                return path.read_text(encoding="utf-8").strip()
        raise RecipeError(
            f"prompts.template: {template!r} is no file in {base_dir} or {Path.cwd()}, and no Jinja text (which has "
            "{{ content }}); correct the path."
        )
    return template


def word(question: Any, row: dict[str, Any], template: Template | None, system: str | None) -> Messages:
    """The chat messages of one row.

    Args:
        question: text, or chat messages; the template rewords the text, or the last user message.
        row: every column, which the template sees beside `content`.

    Raises:
        Fault: an empty question, messages that are not messages, a column the template needs and the row lacks.
    """
    messages = _messages(question)
    if template is not None:
        last = max((i for i, m in enumerate(messages) if m["role"] == "user"), default=None)
        if last is None:
            raise Fault("has no user message for the template")
        content = _render(template, row, messages[last]["content"])
        messages[last] = {**messages[last], "content": content}
    if system is None:
        return messages
    if messages[0]["role"] == "system":
        raise Fault("has a system message already; drop prompts.system or the message")
    return [{"role": "system", "content": system}, *messages]


def _messages(question: Any) -> Messages:
    if isinstance(question, str):
        if not question.strip():
            raise Fault("has an empty prompt")
        return [{"role": "user", "content": question}]
    if not isinstance(question, list) or not all(isinstance(m, dict) and "role" in m for m in question):
        raise Fault(f"has {type(question).__name__} for a prompt, neither text nor a list of chat messages")
    messages = [{key: value for key, value in message.items() if value is not None} for message in question]
    if not messages or not any(message.get("content") for message in messages):
        raise Fault("has an empty prompt")
    return messages


def _render(template: Template, row: dict[str, Any], content: Any) -> str:
    try:
        return template.render({**row, "content": content})
    except TemplateError as error:
        raise Fault(f"does not fit the template ({error})") from None
