"""Reasons why an expression has no value; none of these exceptions leaves the grader."""


class Undefined(ArithmeticError):
    """The expression has no value at this point (a division by zero, the logarithm of a negative number)."""


class NotExact(ArithmeticError):
    """The value is no rational number."""


class TooBig(ArithmeticError):
    """The value has more digits than are worth computing; only an identical expression equals it."""
