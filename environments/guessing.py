"""A game of two guesses: a number from 1 to 3, and after the first guess a hint. It makes its prompts and its rewards.

>>> game = GuessingGame()
>>> game.reset()
'Guess a number from 1 to 3.'
>>> game.secret = 3
>>> game.guess(2), game.guess(3), game.get_reward()
('higher', 'right', 1.0)
"""

import random

NUMBERS = range(1, 4)
GUESSES = 2
PROMPT = "Guess a number from 1 to 3."


class GuessingGame:
    """Whoever guesses 2 first can always win; whoever guesses at random wins five games of nine."""

    def __init__(self) -> None:
        self.secret, self.guesses = NUMBERS[0], 0
        self.won = False

    def reset(self, **row: object) -> str:
        """Begin a game."""
        self.secret, self.guesses, self.won = random.choice(NUMBERS), 0, False
        return PROMPT

    def guess(self, number: int) -> str:
        """Guess the number.

        Args:
            number: The guess.
        """
        if self.won or self.guesses == GUESSES:
            return "The game is over."
        self.guesses += 1
        self.won = number == self.secret
        return hint(number, self.secret)

    def get_reward(self) -> float:
        """1.0 for a game that was won."""
        return float(self.won)


def hint(number: int, secret: int) -> str:
    """What the player learns of a guess."""
    if number == secret:
        return "right"
    return "higher" if number < secret else "lower"
