"""The `quickstart:` block: the small model that the quickstart makes for itself at `base_model`."""

from typing import Annotated

from pydantic import Field

from grpo_plugin.config.base import Block


class QuickstartConfig(Block):
    seed: Annotated[int, Field(ge=0, description="Of the weights, the demonstrations and the held-out problems.")] = 0
    steps: Annotated[int, Field(ge=1, description="Supervised steps, of 64 demonstrations each.")] = 400
    worked_share: Annotated[
        float, Field(ge=0, le=1, description="Share of the demonstrations that work the sum out; the rest estimate it.")
    ] = 0.45
