"""The number game on an Android screen: did the completion name the position of the right card?

Reads the column `answer`: "0", "1" or "2".

    >>> accuracy(["2", "It is card 1.", "none"], ["2", "2", "0"])
    [1.0, 0.0, 0.0]
"""

import re
from collections.abc import Sequence
from typing import Any

from grpo_plugin.scoring.completions import text_of

_POSITION = re.compile("[012]")


def accuracy(completions: Sequence[Any], answer: Sequence[Any], **columns: Any) -> list[float]:
    """1.0 where the first 0, 1 or 2 in the text is the answer, as EasyR1's example has it; else 0.0."""
    found = [_POSITION.search(text_of(completion)) for completion in completions]
    return [
        float(position is not None and position[0] == str(gold).strip())
        for position, gold in zip(found, answer, strict=True)
    ]
