"""Token counts of many similar texts: equal parts between special tokens are tokenized once.

Why this is exact. A tokenizer of the `tokenizers` library first cuts a text at its raw added tokens (those matched
before normalisation; leftmost, longest, not overlapping), and from there on treats every piece alone: normaliser,
remaining added tokens, pre-tokeniser, model. Two things look beyond a piece, and both are handled. The Metaspace
pre-tokeniser asks whether a piece begins the text: a unit here is a piece with the special token before it, so only a
text's own first unit stands at its beginning. And added tokens with `lstrip`, `rstrip` or `single_word` look at their
neighbours: no cut is made at such a token, nor at one that begins or ends with a letter, digit, underscore or space.
For the same reasons units of different texts can be encoded as one, unless a raw added token could begin in one unit
and end in the special token of the next. (Read in tokenizers 0.23.1: added_vocabulary.rs, pre_tokenizer.rs,
pre_tokenizers/*.rs.)
"""

import os
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tokenizers import AddedToken, Tokenizer

from grpo_plugin.compat.encodings import token_counts

REMEMBERED = 4096
VARIABLE = "TOKENIZERS_PARALLELISM"


class Cutter:
    """Cuts a text into units that a tokenizer treats alone, so that their token counts add up to the text's."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        added: list[AddedToken] = list(tokenizer.get_added_tokens_decoder().values())
        raw = [token for token in added if not token.normalized]
        safe = frozenset(token.content for token in raw if _may_cut(token))
        self._safe = frozenset() if tokenizer.encode_special_tokens else safe
        # Longest first: an alternation then finds what the tokenizer's leftmost-longest automaton finds.
        words = sorted((token.content for token in raw), key=len, reverse=True)
        self._raw = re.compile(f"({'|'.join(map(re.escape, words))})") if self._safe else None
        inner = {character for word in words for character in word[1:]}
        self._joinable = frozenset(token for token in self._safe if token[0] not in inner)
        begins_alike = "prepend_scheme=first" not in repr(tokenizer.pre_tokenizer)
        self.neutral = min(self._joinable, default=None) if begins_alike else None

    def units(self, text: str) -> Iterator[str]:
        """The units of a text in order; joined they are the text again."""
        if self._raw is None:
            yield text
            return
        unit, *rest = self._raw.split(text)
        for token, piece in zip(rest[::2], rest[1::2], strict=True):
            if token in self._safe:
                if unit:
                    yield unit
                unit = token + piece
            else:
                unit += token + piece
        yield unit

    def leader(self, unit: str) -> str | None:
        """The special token that begins a unit, if units that begin with it can be joined; None otherwise.

        `neutral` is such a token to put before a unit that has none; None where a text's beginning is special.
        """
        found = self._raw.match(unit) if self._raw else None
        return found[0] if found and found[0] in self._joinable else None


def _may_cut(token: AddedToken) -> bool:
    plain = not (token.lstrip or token.rstrip or token.single_word)
    edges = (token.content[0], token.content[-1])
    return plain and not any(edge.isalnum() or edge.isspace() or edge == "_" for edge in edges)


class SegmentCounter:
    """Counts tokens as `len(tokenizer.encode(text, add_special_tokens=False).ids)` does.

    Counts of units that occur more than once in a call are kept for the next calls: at most `REMEMBERED` of them.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self._cutter = Cutter(tokenizer)
        self._known: dict[str, int] = {}

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text; the tokenizer's own threads share the work, and Python's lock is free meanwhile."""
        totals = [0] * len(texts)
        uses: dict[str, list[int]] = {}
        known = self._known
        for position, text in enumerate(texts):
            for unit in self._cutter.units(text):
                if (tokens := known.get(unit)) is not None:
                    totals[position] += tokens
                else:
                    uses.setdefault(unit, []).append(position)
        for (unit, positions), tokens in zip(uses.items(), self._count_units(list(uses)), strict=True):
            for position in positions:
                totals[position] += tokens
            if len(positions) > 1:
                self._remember(unit, tokens)
        return totals

    def _count_units(self, units: Sequence[str]) -> list[int]:
        leaders, neutral = [self._cutter.leader(unit) for unit in units], self._cutter.neutral
        led = [unit if leader else (neutral or "") + unit for unit, leader in zip(units, leaders, strict=True)]
        with parallel_tokenizer():
            counts = token_counts(self._tokenizer, led, [leader or neutral for leader in leaders])
        return [tokens if leader or not neutral else tokens - 1 for tokens, leader in zip(counts, leaders, strict=True)]

    def _remember(self, unit: str, tokens: int) -> None:
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        self._known[unit] = tokens


class _Parallel:
    """How many callers use the tokenizer's threads, and the value of the variable before the first of them."""

    lock = threading.Lock()
    users = 0
    before: str | None = None


@contextmanager
def parallel_tokenizer() -> Iterator[None]:
    """Let the tokenizer use its threads, which Axolotl's command line turns off for everyone; from any thread."""
    with _Parallel.lock:
        if _Parallel.users == 0:
            _Parallel.before = os.environ.get(VARIABLE)
            os.environ[VARIABLE] = "true"
        _Parallel.users += 1
    try:
        yield
    finally:
        with _Parallel.lock:
            _Parallel.users -= 1
            if _Parallel.users == 0:
                _restore(_Parallel.before)


def _restore(before: str | None) -> None:
    if before is None:
        del os.environ[VARIABLE]
    else:
        os.environ[VARIABLE] = before
