"""Why a text is no mathematics to this grammar; neither exception leaves the grader."""


class Unparsable(ValueError):
    """The text is not mathematics this grammar knows."""


class UnknownCommand(Unparsable):
    """The text has a LaTeX command or environment that is not in the vocabulary."""
