"""Why a piece of mathematics has no value here; none of these leaves this folder."""


class Unparsable(ValueError):
    """The text is not mathematics this grammar knows."""


class UnknownCommand(Unparsable):
    """The text has a LaTeX command or environment that is not in the vocabulary."""


class Undecided(Exception):
    """The last stage gave no verdict in its time; asked again it may."""


class Undefined(ArithmeticError):
    """The expression has no value at this point (a division by zero, the logarithm of a negative number)."""


class NotExact(ArithmeticError):
    """The value is no rational number."""


class TooBig(ArithmeticError):
    """The value has more digits than are worth computing; only an identical expression equals it."""
