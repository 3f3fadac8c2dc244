"""The `quickstart:` block: the small model that the quickstart makes at `base_model`."""

from typing import Annotated

from pydantic import Field

from grpo_plugin.config.block import Block


class QuickstartConfig(Block):
    """The small model that the quickstart makes at `base_model`."""

    seed: Annotated[
        int, Field(ge=0, description="Seed of the weights, the demonstrations and the held-out problems.")
    ] = 0
    steps: Annotated[int, Field(ge=1, description="Supervised training steps, of 64 demonstrations each.")] = 400
    worked_share: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            description="Share of the demonstrations that compute the sum step by step; the others estimate it.",
        ),
    ] = 0.45
