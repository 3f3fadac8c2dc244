"""Metrics have the same names in MLflow and SwanLab as in every other tracker.

transformers' callbacks log `train/reward` and `eval/accuracy_greedy`, but its callback of MLflow and Axolotl's of
SwanLab log `reward` and `eval_accuracy_greedy`. MLflow refuses the `@` of `pass@8`, which its callback writes as `_`.
Can go once both call `rewrite_logs` as the others do.
"""

from typing import Any


def install() -> None:
    """Give the callbacks of MLflow and SwanLab the names of the others; idempotent."""
    from axolotl.utils.callbacks.swanlab import CustomSwanLabCallback
    from transformers.integrations.integration_utils import MLflowCallback

    for callback in (MLflowCallback, CustomSwanLabCallback):
        _rename(callback)


def _rename(callback: Any) -> None:
    from transformers.integrations.integration_utils import rewrite_logs

    stock = callback.on_log
    if getattr(stock, "same_names", False):
        return

    def on_log(self: Any, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> Any:
        return stock(self, args, state, control, logs=rewrite_logs(logs or {}), **kwargs)

    on_log.same_names = True  # type: ignore[attr-defined]
    callback.on_log = on_log
