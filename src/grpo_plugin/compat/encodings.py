"""Token counts of many texts from a quarter as many `Encoding` objects.

Defect: on Python 3.11 and 3.12 every `Encoding` of tokenizers 0.23.1 leaks its empty `__dict__`, 64 bytes (PyO3 pull
request 6234): 128 MB over 2,000,000 rows. Goes when Axolotl, which pins that version, allows 0.23.3. Until then texts
are encoded four to a string and told apart again by the special token each begins with.
"""

from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from typing import cast

from tokenizers import Tokenizer

# More to a string leak less, but longer strings are encoded slower.
BUNDLE = 4


def token_counts(tokenizer: Tokenizer, texts: Sequence[str], leaders: Sequence[str | None]) -> list[int]:
    """Tokens of each text, without special tokens around it.

    Args:
        leaders: the special token that a text begins with, and holds nowhere else; it must be one that the tokenizer
            cuts at wherever it stands. None for a text that is to be encoded by itself.
    """
    counts = [0] * len(texts)
    bundles = _bundles(leaders)
    joined = ["".join(texts[member] for member in bundle) for bundle in bundles]
    for bundle, encoding in zip(bundles, tokenizer.encode_batch_fast(joined, add_special_tokens=False), strict=True):
        leader = leaders[bundle[0]]
        parts = [len(encoding)] if leader is None else _parts(encoding.ids, cast(int, tokenizer.token_to_id(leader)))
        if len(parts) != len(bundle):  # the normaliser made the leader out of something else
            parts = [len(tokenizer.encode(texts[member], add_special_tokens=False)) for member in bundle]
        for member, tokens in zip(bundle, parts, strict=True):
            counts[member] = tokens
    return counts


def _bundles(leaders: Sequence[str | None]) -> list[list[int]]:
    """The positions of the texts, those of each leader by fours."""
    alike = defaultdict(list)
    for position, leader in enumerate(leaders):
        alike[leader].append(position)
    alone = [[position] for position in alike.pop(None, [])]
    return alone + [same[start : start + BUNDLE] for same in alike.values() for start in range(0, len(same), BUNDLE)]


def _parts(ids: list[int], leader: int) -> list[int]:
    """Tokens from each leader to the next; the first begins the ids."""
    starts = [0]
    with suppress(ValueError):  # no further one
        while True:
            starts.append(ids.index(leader, starts[-1] + 1))
    return [end - start for start, end in pairwise([*starts, len(ids)])]
