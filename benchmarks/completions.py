"""How a batch of prompts is best spread over HTTP requests, and how much the CPU settings of the server gain.

    python benchmarks/completions.py [--python .venv-vllm/bin/python]

Every line compares settings within one round, so that a busy machine slows all of them alike; ratios are medians.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from grpo_plugin.config.rollout import RolloutConfig
from grpo_plugin.rollout.client.http import Client
from grpo_plugin.rollout.client.sampling import Sampling
from grpo_plugin.rollout.server.command import server_command
from grpo_plugin.rollout.server.devices import DeviceSplit
from grpo_plugin.rollout.server.endpoint import choose_endpoint, make_run_dir
from grpo_plugin.rollout.server.process import Server
from tests.tiny import make_model

REQUESTS = (1, 4, 16, 32, 64, 128)
ROUNDS = 5
PROMPTS = [[5 + index % 200, 6, 7, 8] for index in range(128)]
SAMPLING = Sampling(max_tokens=32, extra={"ignore_eos": True})


@contextmanager
def serving(model: Path, python: str, env: Mapping[str, str]) -> Iterator[Server]:
    rollout = RolloutConfig(python=python, env=dict(env))
    run_dir = make_run_dir()
    recipe = {"base_model": str(model)}
    command = server_command(recipe, rollout, DeviceSplit(), choose_endpoint(rollout, run_dir), "file", os.environ)
    server = Server.launch(command, run_dir, model / "vllm.log")
    try:
        server.wait_ready(300)
        yield server
    finally:
        server.stop()


def generate(client: Client) -> None:
    client.complete(PROMPTS, n=4, sampling=SAMPLING, version=0)


def seconds(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def report(name: str, times: Mapping[object, list[float]], base: object) -> None:
    for setting, taken in times.items():
        ratio = statistics.median(mine / theirs for mine, theirs in zip(taken, times[base], strict=True))
        print(f"{name:<22} {setting!s:>10} {statistics.median(taken):8.2f} s {ratio:8.2f} × {base}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", default=".venv-vllm/bin/python", help="interpreter that has vLLM")
    python = parser.parse_args().python
    with tempfile.TemporaryDirectory() as folder:
        model = make_model(Path(folder))
        with serving(model, python, {}) as ours, serving(model, python, {"OMP_WAIT_POLICY": "ACTIVE"}) as spinning:
            clients = {count: Client(ours.endpoint.address, requests=count) for count in REQUESTS}
            generate(clients[1])
            spread: dict[object, list[float]] = {count: [] for count in REQUESTS}
            for _ in range(ROUNDS):
                for count, client in clients.items():
                    spread[count].append(seconds(lambda client=client: generate(client)))
            report("requests per batch", spread, 1)
            policies = {"PASSIVE": clients[32], "ACTIVE": Client(spinning.endpoint.address)}
            waits: dict[object, list[float]] = {name: [] for name in policies}
            for _ in range(ROUNDS):
                for name, client in policies.items():
                    waits[name].append(seconds(lambda client=client: generate(client)))
            report("OMP_WAIT_POLICY", waits, "PASSIVE")


if __name__ == "__main__":
    main()
