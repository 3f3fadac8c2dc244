"""A real vLLM server on CPU, and whether it and a trainer's model agree on what the server samples."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from grpo_plugin.config.rollout import RolloutConfig
from grpo_plugin.rollout.client.http import Client
from grpo_plugin.rollout.client.sampling import Sampling
from grpo_plugin.rollout.logp_gap import Gap, logp_gap
from grpo_plugin.rollout.server.command import server_command
from grpo_plugin.rollout.server.devices import DeviceSplit
from grpo_plugin.rollout.server.endpoint import choose_endpoint, make_run_dir
from grpo_plugin.rollout.server.handle import ServerHandle
from grpo_plugin.rollout.server.process import Server
from tests.shared_memory import folders_of
from tests.training import VLLM_PYTHON

PROMPTS = [[5, 6, 7, 8], [9, 10, 11]]
ROUNDING = 1e-4
"""Nats by which two right implementations may differ in fp32; a wrong sync of a random model is off by 0.1 and more."""


@contextmanager
def serving(
    model: Path, rollout: dict[str, Any] | None = None, sync: Literal["file", "nccl"] = "file", **recipe: Any
) -> Iterator[ServerHandle]:
    """`rollout` and `recipe` are added to a recipe for `model`; the log is `model`/vllm.log."""
    config = RolloutConfig(python=str(VLLM_PYTHON), **(rollout or {}))
    run_dir = make_run_dir()
    endpoint = choose_endpoint(config, run_dir)
    command = server_command({"base_model": str(model), **recipe}, config, DeviceSplit(), endpoint, sync)
    server = Server.launch(command, run_dir, model / "vllm.log")
    handle = ServerHandle(server, Client(endpoint.address, timeout=120.0), None, timeout=120.0)
    try:
        handle.wait_ready(500.0)
        yield handle
    finally:
        handle.stop()
        assert folders_of(run_dir) == []


def gap(model: nn.Module, handle: ServerHandle, version: int) -> Gap:
    """Sample from the server, and ask both sides what they think of each token."""
    groups = handle.client.complete(PROMPTS, n=8, sampling=Sampling(max_tokens=24), version=version)
    ours, theirs = [], []
    for prompt, completions in zip(PROMPTS, groups, strict=True):
        for completion in completions:
            ids = torch.tensor([prompt + completion.token_ids])
            with torch.no_grad():
                logps = model(ids).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
            ours.append(logps.gather(-1, ids[0, len(prompt) :, None])[:, 0])
            theirs.append(torch.tensor(completion.logps))
    one, other = torch.cat(ours)[None], torch.cat(theirs)[None]
    return logp_gap(one, other, torch.ones_like(one))


def perturb(model: nn.Module, seed: int) -> None:
    """A step of training, larger than any real one."""
    torch.manual_seed(seed)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += 0.02 * torch.randn_like(parameter)
