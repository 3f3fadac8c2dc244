"""The Axolotl plugin that makes the quickstart's model before anything loads it."""

import os
from typing import Any

from axolotl.integrations.base import BasePlugin

from grpo_plugin.compat.axolotl_train import is_training
from grpo_plugin.config.quickstart import QuickstartConfig
from grpo_plugin.quickstart.ensure import ensure, wait_until_ready

DEADLINE = 1800.0  # seconds the other ranks wait for rank 0; it needs about one minute on two cores


class QuickstartPlugin(BasePlugin):
    """`quickstart:` — the model and the problems at `base_model`, made once and kept.

    Name it first in `plugins`: the others read what it makes. Other commands than `axolotl train` use what a run has
    made, and need none.
    """

    def register(self, cfg: Any) -> None:
        if not is_training():
            return
        settings = QuickstartConfig.parse("quickstart", cfg.get("quickstart"))
        if int(os.environ.get("LOCAL_RANK", 0)) == 0:
            ensure(cfg["base_model"], settings)
        else:
            wait_until_ready(cfg["base_model"], settings, DEADLINE)

    def get_input_args(self) -> str:
        return "grpo_plugin.config.axolotl.QuickstartArgs"
