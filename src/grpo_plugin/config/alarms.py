"""The `alarms:` of the `algorithm:` block: from which figures on the screen warns while a run trains."""

from typing import Annotated

from pydantic import Field

from grpo_plugin.config.block import Block

Share = Annotated[float | None, Field(gt=0, lt=1)]


class Alarms(Block):
    """When a run shows a line with a figure and a likely remedy; `null` turns an alarm off.

    Figures are means over a quarter of a window. An alarm of change compares with the first steps, or with the figure
    that it last named.
    """

    window: Annotated[
        int, Field(ge=4, description="Logged steps: an alarm looks at so many, and comes once in so many at most.")
    ] = 20
    entropy: Annotated[Share, Field(description="The entropy is under this share of that at first.")] = 0.1
    kl: Annotated[
        float | None,
        Field(gt=0, description="The KL to the reference model, or to the policy that sampled, is over this (nats)."),
    ] = 0.5
    zero_gradient: Annotated[
        int | None, Field(ge=1, description="The gradient was 0 in so many logged steps in a row.")
    ] = 3
    reward_stuck: Annotated[
        int | None, Field(ge=8, description="The reward has not risen over so many logged steps.")
    ] = 100
    groups_mixed: Annotated[Share, Field(description="The share of groups whose rewards differ is under this.")] = 0.1
    truncated: Annotated[Share, Field(description="The share of truncated completions has risen by this.")] = 0.2
    length: Annotated[
        float | None, Field(gt=1, description="The mean length has grown, or shrunk, by this factor.")
    ] = 2.0
    logp_gap: Annotated[
        float | None, Field(gt=1, description="The gap of log-probabilities has grown by this factor, to 1e-4 or more.")
    ] = 5.0
    reward_errors: Annotated[
        Share, Field(description="A reward function could not score a larger share of a batch's completions.")
    ] = 0.01
    idle: Annotated[
        Share,
        Field(description="vLLM or the trainer waited for the other for a larger share of the time of the steps."),
    ] = 0.9
