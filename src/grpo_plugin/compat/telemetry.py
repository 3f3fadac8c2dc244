"""Turns off the telemetry of Axolotl and of the Hugging Face hub's client.

Defect: Axolotl 0.19 sends the configuration of a run, our blocks unredacted, with names of data sets and rewards,
unless AXOLOTL_DO_NOT_TRACK or DO_NOT_TRACK is `1` or `true`; TRL reports its use to the hub unless
HF_HUB_DISABLE_TELEMETRY is set. Goes when both ask first, or send nothing of a recipe.
"""

import os


def turn_off() -> None:
    """Set the variables, before Axolotl is imported; what the user has set stays."""
    if not {"AXOLOTL_DO_NOT_TRACK", "DO_NOT_TRACK"} & os.environ.keys():
        os.environ["AXOLOTL_DO_NOT_TRACK"] = "1"
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
