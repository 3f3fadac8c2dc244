"""What a model of the quickstart is taught: sums, products that it may ask a calculator for, or a game of guesses.

A task's modules are imported once it is asked for: a folder named `environments` where a run starts may hide ours.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from grpo_plugin.quickstart.problems import MakeProblem
from grpo_plugin.quickstart.templates import CHAT, CHAT_WITH_TOOLS


@dataclass(frozen=True)
class Task:
    """One task.

    Attributes:
        problem: makes the problem of two numbers.
        chat_template: of the model's tokenizer.
        vocabulary: tokens at most; more than the words ask for.
        tools: functions that the model may call.
    """

    problem: MakeProblem
    chat_template: str
    vocabulary: int
    tools: Sequence[Callable[..., Any]] = field(default=())

    @property
    def schemas(self) -> list[dict[str, Any]]:
        """The JSON schemas of the tools, as the chat template takes them."""
        from transformers.utils import get_json_schema

        return [get_json_schema(tool) for tool in self.tools]


def _addition() -> Task:
    from grpo_plugin.quickstart.additions import Addition

    return Task(Addition, CHAT, vocabulary=320)


def _calculator() -> Task:
    from environments.calculator import calculate
    from grpo_plugin.quickstart.products import Product

    return Task(Product, CHAT_WITH_TOOLS, vocabulary=400, tools=(calculate,))


def _guessing() -> Task:
    from environments.guessing import GuessingGame
    from grpo_plugin.quickstart.games import Game

    return Task(Game, CHAT_WITH_TOOLS, vocabulary=400, tools=(GuessingGame().guess,))


TASKS: dict[str, Callable[[], Task]] = {"addition": _addition, "calculator": _calculator, "guessing": _guessing}
