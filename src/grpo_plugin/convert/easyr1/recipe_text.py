"""A draft as a recipe's text: the command, each value with its origin, then the keys not converted, with reasons."""

import json
import textwrap
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

import yaml

from grpo_plugin.convert.easyr1.conversion import Conversion
from grpo_plugin.convert.easyr1.draft import Draft
from grpo_plugin.convert.easyr1.header import header

_COLUMN = 44
_WIDTH = 120


def recipe_text(converted: Conversion) -> str:
    """YAML with comments, the command that starts it in the first lines."""
    draft = converted.draft
    lines = header(draft, converted.scale)
    after_block = True
    for name, value in draft.recipe().items():
        is_block = name not in draft.values
        lines += [""] if is_block or after_block else []
        lines += _entries(draft, name, value)
        after_block = is_block
    return "\n".join([*lines, *_left(draft), *_same(draft)]) + "\n"


def _entries(draft: Draft, key: str, value: Any) -> Iterator[str]:
    """The lines of a value, or of a mapping with those of its own keys below."""
    indent, name = "  " * key.count("."), key.rpartition(".")[2]
    if key in draft.values:
        yield from _entry(f"{indent}{name}:", value, indent, _comment(draft, key))
        return
    yield from _commented(f"{indent}{name}:", _comment(draft, key), indent)
    for inner, below in value.items():
        yield from _entries(draft, f"{key}.{inner}", below)


def _entry(head: str, value: Any, indent: str, comment: str) -> Iterator[str]:
    line = f"{head} {inline(value)}"
    if isinstance(value, list) and (isinstance(value[0], dict) or len(line) > _WIDTH):
        yield from _commented(head, comment, indent)
        yield from (f"{indent}  - {inline(item)}" for item in value)
    else:
        yield from _commented(line, comment, indent)


def _comment(draft: Draft, key: str) -> str:
    """EasyR1's keys as their author wrote them, or those whose default it is."""
    if key not in draft.origins:
        return ""
    origin = draft.origins[key]
    names = draft.source.names(origin.keys)
    words = ", ".join(names) or ", ".join(f"{key} (default)" for key in origin.keys)
    return " ".join(f"{words}{origin.note}".split())


def _commented(line: str, comment: str, indent: str) -> Iterator[str]:
    """The comment behind the line, or above it where there is no room."""
    behind = f"{line:<{_COLUMN - 2}}  # {comment}" if comment else line
    if len(behind) <= _WIDTH or not comment:
        yield behind
    else:
        yield from _wrapped(comment, f"{indent}# ", f"{indent}# ")
        yield line


def _left(draft: Draft) -> list[str]:
    """One entry for each reason, with all the keys it holds for."""
    if not draft.dropped:
        return []
    reasons = list(dict.fromkeys(one.reason for one in draft.dropped))
    ordered = sorted(draft.dropped, key=lambda one: reasons.index(one.reason))
    lines = ["", "# Not converted:"]
    for reason, group in groupby(ordered, key=lambda one: one.reason):
        lines += _listed([(one.key, one.value) for one in group], f" — {reason}")
    return lines


def _same(draft: Draft) -> list[str]:
    if not draft.unneeded:
        return []
    return ["", "# No key is needed for these; the same happens here without one:", *_listed(draft.unneeded.items())]


def _listed(pairs: Iterable[tuple[str, Any]], end: str = "") -> list[str]:
    """`key: value` of each in a row; a pair stays on one line if it can."""
    pairs_as_text = ", ".join(f"{key}: {inline(value)}".replace(" ", "\0") for key, value in pairs)
    return [line.replace("\0", " ") for line in _wrapped(f"{pairs_as_text}{end}", "#   ", "#     ")]


def _wrapped(text: str, first: str, following: str) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=first,
        subsequent_indent=following,
        break_long_words=False,
        break_on_hyphens=False,
    )


def inline(value: Any) -> str:
    """A value as YAML on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10**6, allow_unicode=True, sort_keys=False)
    text = text.removesuffix("\n").removesuffix("\n...").strip()
    return json.dumps(value, ensure_ascii=False, default=str) if "\n" in text else text
