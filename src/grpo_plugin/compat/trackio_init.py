"""Trackio 0.19, which Axolotl 0.19 pins, with the callback of transformers 5.16, and Axolotl's keys for it.

The callback calls `trackio.init` with `bucket_id`, which Trackio has from 0.21 on, and takes the project and the Space
from its arguments, where Axolotl gives them as environment variables that Trackio does not read. Can go once Axolotl
pins a newer Trackio and sets `project` and `trackio_space_id`.
"""

import inspect
import sys
from typing import Any


def install() -> None:
    """Let `trackio.init` of an older Trackio ignore `bucket_id`; idempotent, and nothing where it is not imported."""
    trackio = sys.modules.get("trackio")
    if trackio is None:
        return
    stock = trackio.init
    if "bucket_id" in inspect.signature(stock).parameters:
        return

    def init(*args: Any, bucket_id: str | None = None, **kwargs: Any) -> Any:
        return stock(*args, **kwargs)

    trackio.init = init  # type: ignore[attr-defined]


def training_arguments(cfg: Any) -> dict[str, Any]:
    """The project and the Space of the recipe as transformers' arguments."""
    if not cfg.use_trackio:
        return {}
    given = {"project": cfg.trackio_project_name, "trackio_space_id": cfg.trackio_space_id}
    return {name: value for name, value in given.items() if value}
