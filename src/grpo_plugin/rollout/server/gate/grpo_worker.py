"""A vLLM worker extension: `reload_weights` that also changes the output head of a model with tied embeddings.

vLLM loads it by `--worker-extension-cls grpo_worker.WeightReload` from this folder, the only part of this package it
can import; so it needs the standard library alone.

Works around: vLLM's CPU backend (seen in 0.32) keeps a packed copy of each weight matrix for oneDNN, made when the
layer is loaded. A checkpoint with tied embeddings has their matrix once, under the name of the input embeddings, so
`reload_weights` packs it again for these alone: the output head goes on with its packed copy of the old weights.
Can go: when vLLM's `reload_weights` packs a tied output head again. On GPUs nothing is packed, and this does nothing.
"""

from collections.abc import Iterator
from typing import Any


class WeightReload:
    """Methods that every worker of the server gets, for `/collective_rpc`."""

    def reload_weights_and_repack(self: Any, weights_path: str) -> None:
        """Load the checkpoint in the folder `weights_path` in place of the current weights."""
        self.reload_weights(weights_path=weights_path)
        for layer in packed_and_tied(self.model_runner.get_model()):
            layer.quant_method.process_weights_after_loading(layer)


def packed_and_tied(model: Any) -> Iterator[Any]:
    """Layers with a packed copy (`cpu_linear`) of a weight that another layer has, too."""
    packed = [layer for layer in model.modules() if hasattr(layer, "cpu_linear")]
    weights = [id(layer.weight) for layer in packed]
    return (layer for layer, weight in zip(packed, weights, strict=True) if weights.count(weight) > 1)
