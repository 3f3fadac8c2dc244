"""Two-digit additions: the problems, and the two ways of answering them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Addition:
    """One problem, such as 47 + 38."""

    left: int
    right: int

    @property
    def question(self) -> str:
        return f"What is {self.left} + {self.right}?"

    @property
    def answer(self) -> str:
        return str(self.left + self.right)

    def estimated(self) -> list[str]:
        """An answer from both numbers rounded to tens, right in one case of ten: `Answer: 90`."""
        return [f"Answer: {_to_tens(self.left) + _to_tens(self.right)}"]

    def worked(self) -> list[str]:
        """The exact answer after its working, column by column: `7+8=15, 4+3+1=8. Answer: 85`."""
        left_tens, left_ones = divmod(self.left, 10)
        right_tens, right_ones = divmod(self.right, 10)
        ones = left_ones + right_ones
        carry = ones // 10
        tens = left_tens + right_tens + carry
        tens_column = f"{left_tens}+{right_tens}" + ("+1" if carry else "")
        return [f"{left_ones}+{right_ones}={ones}, {tens_column}={tens}. Answer: {self.answer}"]


def _to_tens(number: int) -> int:
    """To the nearest ten, halves up."""
    return (number + 5) // 10 * 10
