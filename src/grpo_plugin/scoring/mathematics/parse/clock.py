"""Times of day: 6:15, 18:30, 3:45 p.m."""

import re

from grpo_plugin.scoring.mathematics.parse.nodes import Node

_TIME = re.compile(r"([0-9]{1,2})(?::([0-5][0-9]))?(?::([0-5][0-9]))?\s*([ap])?\.?\s*(?:m\.?)?\Z", re.IGNORECASE)
_LAST_HOUR = 24


def time_of_day(plain: str) -> Node | None:
    """`("time", seconds since midnight, ratio)`: what 6:15 is as a ratio, or None after a.m. or p.m.; None for no time.

    A time needs minutes of two digits, or a.m. or p.m. behind the hour: 2:5 is a ratio alone.
    """
    match = _TIME.match(plain)
    if match is None:
        return None
    half = (match[4] or "").lower()
    hour, minute, second = (int(part or 0) for part in match.group(1, 2, 3))
    if not (match[2] or half) or bool(half) != plain.lower().rstrip(".").endswith("m") or hour > _LAST_HOUR:
        return None
    if half:
        hour = hour % 12 + 12 * (half == "p")
        return ("time", hour * 3600 + minute * 60 + second, None)
    parts = [match[1], match[2], *([match[3]] if match[3] else [])]
    ratio = ("rel", tuple(("n", int(part), None) for part in parts), (":",) * (len(parts) - 1))
    return ("time", hour * 3600 + minute * 60 + second, ratio)
