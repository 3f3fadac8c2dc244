"""Prompts over `max_length`: dropped, an error, or cut from the left; and a note with their row numbers."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from grpo_plugin.prompts.row_errors import RowError, RowErrors, rows
from grpo_plugin.prompts.rows import Prompt

Messages = list[dict[str, Any]]


@dataclass
class LengthLimit:
    """Applies `prompts.max_length` and `prompts.overlong` to prompts, and collects the rows over the limit.

    Args:
        most: longest prompt in tokens, or None for no limit.
        policy: what happens to a longer one.
        count: tokens of one prompt, images included; used by truncate_left alone.
    """

    most: int | None
    policy: Literal["drop", "error", "truncate_left"]
    count: Callable[[Prompt], int]
    total: int = 0
    longest: int = 0
    longest_overlong: int = 0
    overlong: dict[str, list[int]] = field(default_factory=dict)

    def apply(self, label: str, prompt: Prompt, tokens: int, row_errors: RowErrors) -> Prompt | None:
        """The prompt to train on, shortened where the policy says so; None when it is dropped or an error."""
        self.total += 1
        if self.most is None or tokens <= self.most:
            self.longest = max(self.longest, tokens)
            return prompt
        self.overlong.setdefault(label, []).append(prompt.number)
        self.longest_overlong = max(self.longest_overlong, tokens)
        if self.policy == "drop":
            return None
        try:
            shortened = self._truncated(prompt)
        except RowError as error:
            row_errors.add(label, prompt.number, error)
            return None
        self.longest = max(self.longest, self.count(shortened))
        return shortened

    def _truncated(self, prompt: Prompt) -> Prompt:
        """The prompt without the first characters of its longest user text: as few as are needed to fit."""
        if self.policy == "error":
            raise RowError(f"a prompt over max_length {self.most} tokens (prompts.overlong: error)")
        text, put = _longest_user_text(prompt.messages)

        def fits(start: int) -> bool:
            return self.count(replace(prompt, messages=put(text[start:]))) <= (self.most or 0)

        start = bisect_left(range(len(text)), True, lo=1, key=fits)
        if start >= len(text) or not fits(start):
            raise RowError(f"a prompt that is over max_length {self.most} tokens even without its text")
        return replace(prompt, messages=put(text[start:]))

    def note(self, where: str) -> str | None:
        """One line on what was over the limit, for the field `where`; None when nothing was."""
        if not self.overlong:
            return None
        number = sum(map(len, self.overlong.values()))
        done = "dropped" if self.policy == "drop" else "cut from the left"
        which = "; ".join(f"{label} {rows(numbers)}" for label, numbers in self.overlong.items())
        return (
            f"{where}: {number:,} of {self.total:,} prompts are over max_length {self.most} and were {done} "
            f"(the longest has {self.longest_overlong:,} tokens): {which}."
        )


def _longest_user_text(messages: Messages) -> tuple[str, Callable[[str], Messages]]:
    """The longest text of a user, and a function that gives the messages with another text in its place."""
    places = [
        (text, position, block)
        for position, message in enumerate(messages)
        if message["role"] == "user"
        for block, text in _texts(message["content"])
    ]
    if not places:
        raise RowError("an overlong prompt without a user's text that could be cut")
    text, position, block = max(places, key=lambda place: len(place[0]))

    def put(shorter: str) -> Messages:
        content: Any = shorter
        if block is not None:
            blocks = messages[position]["content"]
            content = [*blocks[:block], {"type": "text", "text": shorter}, *blocks[block + 1 :]]
        return [*messages[:position], {**messages[position], "content": content}, *messages[position + 1 :]]

    return text, put


def _texts(content: Any) -> list[tuple[int | None, str]]:
    if isinstance(content, str):
        return [(None, content)]
    return [(i, block["text"]) for i, block in enumerate(content) if block.get("type") == "text"]
