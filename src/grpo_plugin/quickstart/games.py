"""Games of two guesses, and the two ways of playing them: by the hint, or at random."""

from collections.abc import Sequence
from dataclasses import dataclass

from environments.guessing import GUESSES, NUMBERS, PROMPT, hint


@dataclass(frozen=True)
class Game:
    """One game; two numbers decide its secret and its guesses, so that all are equally frequent."""

    left: int
    right: int

    @property
    def question(self) -> str:
        return PROMPT

    @property
    def answer(self) -> str:
        return str(NUMBERS[self.left % len(NUMBERS)])

    def worked(self) -> list[str]:
        """The number in the middle, and then what the hint says: a game that is always won."""
        return self._played([NUMBERS[1], int(self.answer)])

    def estimated(self) -> list[str]:
        """Numbers whatever the hint is; they win five games of nine."""
        return self._played([NUMBERS[self.right // len(NUMBERS) ** place % len(NUMBERS)] for place in range(GUESSES)])

    def _played(self, guesses: Sequence[int]) -> list[str]:
        """Each guess and its hint, as far as they are needed; then `Done.`"""
        parts: list[str] = []
        for number in guesses:
            call = f'{{"name": "guess", "arguments": {{"number": {number}}}}}'
            parts += [f"<tool_call>\n{call}\n</tool_call>", hint(number, int(self.answer))]
            if parts[-1] == "right":
                break
        return [*parts, "Done."]
