"""`python -m grpo_plugin.quickstart RECIPE_OR_FOLDER`: make the model of a recipe, or one with default settings."""

import argparse
import logging
import os
import sys
from pathlib import Path

from grpo_plugin.config.quickstart import QuickstartConfig
from grpo_plugin.errors import GrpoPluginError
from grpo_plugin.quickstart.ensure import ensure
from grpo_plugin.quickstart.fingerprint import read_fingerprint


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m grpo_plugin.quickstart", description=__doc__)
    parser.add_argument("target", metavar="RECIPE_OR_FOLDER", help="a recipe (.yaml), or the folder to make")
    target = parser.parse_args(words).target
    _keep_libraries_quiet()
    try:
        folder, settings = _wanted(target)
        ensure(folder, settings)
    except GrpoPluginError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    record = read_fingerprint(folder)
    assert record is not None
    accuracy = record["held_out_accuracy"]
    if accuracy is None:  # the first validation of the run measures a model with tools
        print(f"{folder}: made")
    else:
        print(f"{folder}: held-out accuracy {accuracy['sampled']:.2f} sampled, {accuracy['greedy']:.2f} greedy")
    return 0


def _keep_libraries_quiet() -> None:
    """Silence warnings of torchao and transformers on import, and progress bars: they do not concern this model."""
    logging.disable(logging.WARNING)
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")


def _wanted(target: str) -> tuple[Path, QuickstartConfig]:
    if Path(target).suffix not in (".yaml", ".yml"):
        return Path(target), QuickstartConfig()
    from grpo_plugin.recipe import read

    values = read(target)
    return Path(values["base_model"]), QuickstartConfig.parse("quickstart", values.get("quickstart"))


if __name__ == "__main__":
    sys.exit(main())
