"""How long an episode may become."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Limits of one episode; None is no limit.

    Attributes:
        completion_tokens: of all that follows the prompt, tools' results included (`trl.max_completion_length`).
        model_tokens: of prompt and completion, as the model or its server takes them.
        turns: of the model.
        turn_tokens: that the model may sample in one turn.
    """

    completion_tokens: int
    model_tokens: int | None = None
    turns: int | None = None
    turn_tokens: int | None = None

    def left(self, prompt: int, completion: int) -> int:
        """Tokens that the next turn may sample behind so many; 0 where none is left."""
        left = [self.completion_tokens - completion]
        if self.model_tokens is not None:
            left.append(self.model_tokens - prompt - completion)
        if self.turn_tokens is not None:
            left.append(self.turn_tokens)
        return max(min(left), 0)

    def fits(self, prompt: int, completion: int) -> bool:
        """Whether an episode may become so long; as in TRL, a result may use up the completion, but not the model."""
        return completion <= self.completion_tokens and (
            self.model_tokens is None or prompt + completion < self.model_tokens
        )
