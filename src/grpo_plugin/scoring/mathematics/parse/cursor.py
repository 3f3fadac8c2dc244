"""A position in a list of tokens, for recursive descent."""

from grpo_plugin.scoring.mathematics.parse.tokens import Token
from grpo_plugin.scoring.mathematics.parse.unparsable import Unparsable

MAX_DEPTH = 40
END = Token("end of input", "", False)


class Cursor:
    """Reads tokens from left to right.

    Attributes:
        kind, value: of the current token.
        sign: its value where it is an operator or a command, else "": a word "in" is not the relation `\\in`.
    """

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = [*tokens, END]
        self.depth = 0
        self.move_to(0)

    def move_to(self, position: int) -> None:
        self.position = position
        self.kind, self.value, self.spaced = self.tokens[position]
        self.sign = self.value if self.kind in ("op", "command") else ""

    @property
    def at_end(self) -> bool:
        return self.kind == END.kind

    def next(self) -> str:
        """Move on; returns the value of the token left behind."""
        value = self.value
        if self.kind != END.kind:
            self.move_to(self.position + 1)
        return value

    def accept(self, sign: str) -> bool:
        """Move on if the current token is this operator or command."""
        if self.sign != sign:
            return False
        self.move_to(self.position + 1)
        return True

    def expect(self, sign: str) -> None:
        if not self.accept(sign):
            raise Unparsable(f"expected {sign!r}, found {self.value!r}")

    def ahead(self, count: int) -> list[Token]:
        """The current token and those behind it, `count` in all or fewer at the end."""
        return self.tokens[self.position : self.position + count]

    def deeper(self) -> None:
        """Count one level of nesting; the caller lowers `depth` again."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise Unparsable("nested too deeply")

    def raw(self) -> str:
        """The text of the next group, for names: the n+1 of a_{n+1}."""
        if not self.accept("{"):
            return self.next()
        parts: list[str] = []
        depth = 1
        while not self.at_end:
            value = self.next()
            depth += (value == "{") - (value == "}")
            if depth == 0:
                return "".join(parts)
            parts.append(value)
        raise Unparsable("a group is not closed")
