"""The `quickstart:` block: the small model that the quickstart makes at `base_model`."""

from typing import Annotated, Literal

from pydantic import Field

from grpo_plugin.config.block import Block


class QuickstartConfig(Block):
    """The small model that the quickstart makes at `base_model`."""

    task: Annotated[
        Literal["addition", "calculator", "guessing"],
        Field(
            description="What it is taught: sums of two numbers, products for which it may ask a calculator, or a game "
            "of two guesses."
        ),
    ] = "addition"
    seed: Annotated[
        int, Field(ge=0, description="Seed of the weights, the demonstrations and the held-out problems.")
    ] = 0
    steps: Annotated[int, Field(ge=1, description="Supervised training steps, of 64 demonstrations each.")] = 400
    worked_share: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            description="Share of the demonstrations that work the problem out; the others estimate it.",
        ),
    ] = 0.45
