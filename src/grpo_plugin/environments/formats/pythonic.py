"""`[name(key="value"), other()]` as the whole turn, as Llama 3.2, Llama 4 and ToolACE write calls."""

import ast
import re

from grpo_plugin.environments.calls import MalformedCall, Schemas, ToolCall, Turn, checked_call

_BEGINS = re.compile(r"\[\s*[A-Za-z_][\w.]*\s*\(")
_START, _END = "<|python_start|>", "<|python_end|>"


def parse(text: str, _schemas: Schemas) -> Turn:
    """The calls of a turn that is a list of them."""
    body = text.strip()
    if not (body.startswith(_START) or _BEGINS.match(body)):
        return Turn(text)
    body = body.removeprefix(_START).removesuffix(_END).strip()
    try:
        listed = ast.parse(body, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return Turn(text, [MalformedCall(f"the calls are no list in Python's syntax ({error})")])
    if not isinstance(listed, ast.List) or not listed.elts:
        return Turn(text, [MalformedCall("calls are a list such as [name(key=value)]")])
    calls = [_call(node) for node in listed.elts]
    return Turn(text if any(isinstance(call, MalformedCall) for call in calls) else "", calls)


def _call(node: ast.expr) -> ToolCall | MalformedCall:
    if not isinstance(node, ast.Call):
        return MalformedCall(f"{_source(node)} is no call")
    name = _source(node.func)
    if node.args or any(keyword.arg is None for keyword in node.keywords):
        return MalformedCall(f"{name}: arguments are given as name=value")
    try:
        arguments = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in node.keywords}
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return MalformedCall(f"{name}: a value is neither text, number, list nor dict")
    return checked_call(name, arguments)


def _source(node: ast.expr) -> str:
    """The expression as Python writes it, which it cannot for one that is nested deep or holds a huge number."""
    try:
        return ast.unparse(node)
    except (ValueError, RecursionError):
        return "an expression that is too long"
