"""What judge and program tell each other: JSON of plain data, each message after its length.

Plain data are None, bool, int, float, complex, str, bytes, list, tuple, dict, set, frozenset, deque, range, Decimal,
Fraction, dates and numpy's arrays of numbers; subclasses of them travel as the plain type. Anything else stays where it
is and travels as a number that stands for it.
"""

import json
import os
import sys
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

sys.set_int_max_str_digits(0)  # a program may well compute a factorial of 5,000 digits

_MOST = 2**22  # bytes of a message
_TEXT: dict[str, Any] = {"Decimal": Decimal, "Fraction": Fraction}
_PLAIN: tuple[Any, ...] = (int, float, str)
_DATES: dict[str, Any] = {"datetime": datetime, "date": date, "time": time}
_MANY: dict[str, Any] = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}


def send(descriptor: int, message: Any) -> None:
    """Write one message.

    Raises:
        ValueError: it is too long.
    """
    data = json.dumps(message).encode()
    if len(data) > _MOST:
        raise ValueError(f"{len(data)} bytes are too much for one value")
    data = len(data).to_bytes(4, "big") + data
    while data:
        data = data[os.write(descriptor, data) :]


def receive(descriptor: int) -> Any:
    """Read one message.

    Raises:
        EOFError: the other side has ended, or sends what is no message.
    """
    size = int.from_bytes(_exactly(descriptor, 4), "big")
    if size > _MOST:
        raise EOFError("a message is too long")
    try:
        return json.loads(_exactly(descriptor, size))
    except (ValueError, RecursionError):
        raise EOFError("what came is no message") from None


def _exactly(descriptor: int, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = os.read(descriptor, size - len(data))
        if not more:
            raise EOFError("the other side has ended")
        data += more
    return data


def encode(value: Any, encode_other: Callable[[Any], Any]) -> Any:
    """A value as JSON; `encode_other` gives the JSON of what is no plain data."""
    if value is None or type(value) in (bool, int, float, str):
        return value
    for plain in _PLAIN:
        if isinstance(value, plain):
            return plain.__add__(value, plain())
    for name, kind in _MANY.items():
        if isinstance(value, kind):
            return {name: [encode(item, encode_other) for item in kind.__iter__(value)]}
    if isinstance(value, dict):
        return {"dict": [[encode(part, encode_other) for part in pair] for pair in dict.items(value)]}
    return _encode_rare(value, encode_other)


def _encode_rare(value: Any, encode_other: Callable[[Any], Any]) -> Any:
    name = type(value).__name__
    if isinstance(value, bytes | bytearray):
        return {"bytes": bytes(value).decode("latin-1")}
    if isinstance(value, complex):
        return {"complex": [value.real, value.imag]}
    if isinstance(value, range):
        return {"range": [value.start, value.stop, value.step]}
    if isinstance(value, Decimal | Fraction):
        return {name: str(value)}
    if isinstance(value, timedelta):
        return {"timedelta": [value.days, value.seconds, value.microseconds]}
    if type(value) in (date, datetime, time):
        return {name: value.isoformat()}
    if type(value).__module__ == "numpy" and hasattr(value, "dtype"):
        return _encode_numpy(value, encode_other)
    if type(value).__module__ == "collections" and name == "deque":
        return {"deque": [encode(item, encode_other) for item in value]}
    return encode_other(value)


def _encode_numpy(value: Any, encode_other: Callable[[Any], Any]) -> Any:
    """A number of numpy's as Python's; an array of numbers or text with its type."""
    if value.shape == ():
        return encode(value.item(), encode_other)
    return {"array": [value.dtype.str, value.tolist()]} if value.dtype.kind in "biufU" else encode_other(value)


def decode(message: Any, object_of: Callable[[Any], Any]) -> Any:
    """The value of what `encode` made; `object_of` gives that of a stand-in.

    Raises:
        ValueError, TypeError: it is nothing that `encode` makes.
    """
    if not isinstance(message, dict):
        return message
    ((name, content),) = message.items()
    if name in _MANY:
        return _MANY[name](decode(item, object_of) for item in content)
    if name == "dict":
        return {decode(key, object_of): decode(value, object_of) for key, value in content}
    return _decode_rare(name, content, object_of)


def _decode_rare(name: str, content: Any, object_of: Callable[[Any], Any]) -> Any:
    if name == "bytes":
        return content.encode("latin-1")
    if name == "complex":
        return complex(*content)
    if name == "range":
        return range(*content)
    if name == "timedelta":
        return timedelta(*content)
    if name == "deque":
        from collections import deque

        return deque(decode(item, object_of) for item in content)
    if name == "array":
        import numpy

        return numpy.array(content[1], dtype=content[0])
    if name in _TEXT:
        return _TEXT[name](content)
    if name in _DATES:
        return _DATES[name].fromisoformat(content)
    return object_of({name: content})
