"""Run by vLLM's interpreter: `ADDRESS MODEL CHANGED CASE`. Sends perturbed weights of MODEL as a trainer on GPUs does.

CHANGED gets the weights that were sent. CASE is "push" or "unknown tensor". Prints one line per push.
"""

import sys
from dataclasses import replace

import tcp_for_nccl
from transformers import AutoModelForCausalLM

from grpo_plugin.errors import RolloutError
from grpo_plugin.rollout.client.http import Client
from grpo_plugin.rollout.sync.nccl_transfer import ParamMeta, Routes, Source, bounded, meeting_point, open_transfer


def main(address: str, folder: str, changed: str, case: str) -> None:
    tcp_for_nccl.install()
    client = Client(address)
    model = AutoModelForCausalLM.from_pretrained(folder)
    for parameter in model.parameters():
        parameter.data += 0.02 * parameter.data.clone().normal_()
    model.save_pretrained(changed)
    tensors = dict(model.state_dict())
    metadata = [ParamMeta(name, tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()]
    if case == "unknown tensor":
        metadata[3] = replace(metadata[3], name="model.layers.99.no_such.weight")
        tensors = {meta.name: tensor for meta, tensor in zip(metadata, tensors.values(), strict=True)}
    routes, source = Routes(client.post, timeout=60.0), Source(metadata)
    workers = client.get("/get_world_size")["world_size"]
    place = meeting_point(address)
    transfer = bounded(lambda: open_transfer(routes, source, *place, workers), routes.failed, lambda: None, 60.0)
    source.refill(lambda: tensors.items())
    for version in (1, 2):
        routes.version = version
        try:
            bounded(transfer.send, routes.failed, transfer.abort, 60.0)
        except RolloutError as error:
            print(f"failed: {error}")
            return
        print(f"{type(transfer).__name__} sent, version {client.version()}")
    client.reset_caches()
    transfer.abort()


if __name__ == "__main__":
    main(*sys.argv[1:])
