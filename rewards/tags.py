"""Tags: is a completion built of the tags it should have, in their order?

Reads no column. `structure` takes the tags as an argument, so that any format is one line of a recipe:

    - {function: rewards.tags.structure, kwargs: {tags: [plan, code, summary]}}

    >>> structure(["<think>2+2</think>\\n<answer>4</answer>"])
    [1.0]
    >>> structure(["<think>2+2</think> 4"], partial=True)
    [0.5]

All searches are `str.find` and the like: their time is linear in the length of the completion.
"""

from collections.abc import Sequence
from typing import Any

from grpo_plugin.scoring.completions import text_of


def structure(
    completions: Sequence[Any],
    tags: Sequence[str] = ("think", "answer"),
    partial: bool = False,
    outside: bool = False,
    **columns: Any,
) -> list[float]:
    """1.0 where every tag is opened and closed exactly once, in this order, with something in it; else 0.0.

    With `partial`, the share of tags for which that is so, counted from the first. Text outside the tags (white space
    apart) is a fault unless `outside` allows it.
    """
    return [_structure(text_of(text), tags, partial, outside) for text in completions]


def last(text: str, tag: str) -> str | None:
    """The content of the last complete `<tag>…</tag>`, or None."""
    end = text.rfind(f"</{tag}>")
    start = text.rfind(f"<{tag}>", 0, max(end, 0))
    return None if start < 0 else text[start + len(tag) + 2 : end]


def once(text: str, *pieces: str) -> bool:
    """Whether each piece occurs exactly once in `text`."""
    return all(text.count(piece) == 1 for piece in pieces)


def in_order(text: str, *pieces: str) -> bool:
    """Whether `text` starts with the first piece, ends with the last, and has the others in order between them."""
    if not text.startswith(pieces[0]) or not text.endswith(pieces[-1]):
        return False
    position, end = len(pieces[0]), len(text) - len(pieces[-1])
    for piece in pieces[1:-1]:
        found = text.find(piece, position, end)
        if found < 0:
            return False
        position = found + len(piece)
    return position <= end


def _structure(text: str, tags: Sequence[str], partial: bool, outside: bool) -> float:
    position, found = 0, 0
    for tag in tags:
        opening, closing = f"<{tag}>", f"</{tag}>"
        start, end = text.find(opening, position), text.find(closing, position)
        content = text[start + len(opening) : end]
        stray = text[position:start].strip() and not outside
        if not once(text, opening, closing) or start < 0 or end < start or not content.strip() or stray:
            break
        position, found = end + len(closing), found + 1
    complete = found == len(tags) and (outside or not text[position:].strip())
    return found / len(tags) if partial else float(complete)
