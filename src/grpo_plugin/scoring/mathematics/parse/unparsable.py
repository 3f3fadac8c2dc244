"""Reasons why a text cannot be parsed; neither exception leaves the grader."""


class Unparsable(ValueError):
    """The text is not mathematics in this grammar."""


class UnknownCommand(Unparsable):
    """The text has a LaTeX command or environment that is not in the vocabulary."""
