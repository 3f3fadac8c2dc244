"""Metrics have the same names in MLflow as in every other tracker.

transformers' callbacks log `train/reward` and `eval/accuracy_greedy`, but MLflow's logs `reward` and
`eval_accuracy_greedy`. MLflow refuses the `@` of `pass@8`, which its callback writes as `_`. Can go once transformers'
MLflowCallback calls `rewrite_logs` as its others do.
"""

from typing import Any


def install() -> None:
    """Give transformers' MLflow callback the names of the others; idempotent."""
    from transformers.integrations.integration_utils import MLflowCallback, rewrite_logs

    stock = MLflowCallback.on_log
    if getattr(stock, "same_names", False):
        return

    def on_log(self: Any, args: Any, state: Any, control: Any, logs: Any, model: Any = None, **kwargs: Any) -> None:
        stock(self, args, state, control, logs=rewrite_logs(logs), model=model, **kwargs)

    on_log.same_names = True  # type: ignore[attr-defined]
    MLflowCallback.on_log = on_log  # type: ignore[method-assign]
