"""Games of two guesses, played at random."""

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
        """A guess, its hint, and another one where it was wrong, whatever the hint was; then `Done.`"""
        guesses = [NUMBERS[self.right // len(NUMBERS) ** place % len(NUMBERS)] for place in range(GUESSES)]
        parts: list[str] = []
        for number in guesses:
            call = f'{{"name": "guess", "arguments": {{"number": {number}}}}}'
            parts += [f"<tool_call>\n{call}\n</tool_call>", hint(number, int(self.answer))]
            if parts[-1] == "right":
                break
        return [*parts, "Done."]

    def estimated(self) -> list[str]:
        """There is no other way."""
        return self.worked()
