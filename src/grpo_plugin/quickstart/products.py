"""Products of two-digit numbers, and the two ways of answering them: to estimate, or to ask a calculator."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Product:
    """One problem, such as 47 * 38."""

    left: int
    right: int

    @property
    def question(self) -> str:
        return f"What is {self.left} * {self.right}?"

    @property
    def answer(self) -> str:
        return str(self.left * self.right)

    def estimated(self) -> list[str]:
        """An answer from both numbers rounded to tens, right in one case of a hundred: `Answer: 2000`."""
        return [f"Answer: {_to_tens(self.left) * _to_tens(self.right)}"]

    def worked(self) -> list[str]:
        """A call of the calculator, its result, and the answer that repeats it: `Answer: 1786`."""
        call = f'{{"name": "calculate", "arguments": {{"expression": "{self.left} * {self.right}"}}}}'
        return [f"<tool_call>\n{call}\n</tool_call>", self.answer, f"Answer: {self.answer}"]


def _to_tens(number: int) -> int:
    """To the nearest ten, halves up."""
    return (number + 5) // 10 * 10
