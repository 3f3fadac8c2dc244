"""200 MB of fp32 parameters from the trainer's tensors to tensors in another process: our file against Axolotl's HTTP.

    python benchmarks/weight_transport.py [--pairs 7] [--python .venv-vllm/bin/python]

Both ways end when the other process has the tensors, has read every byte of them for a sum, and has answered.
Axolotl's way is its own encode_for_http and decode_from_http in requests of 10 MB, as its trainer sends them; its
FastAPI layer and the second hop to vLLM's worker are left out, which favours it. Runs come in pairs, and ratios are
medians over pairs: of the time that passed, and of the processor time of both processes, one thread each, which other
work on the machine does not stretch. With --python, a vLLM server takes the same weights, its own loading included.
"""

import argparse
import json
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import requests
import torch
from accelerate import Accelerator
from axolotl.utils.weight_serde import decode_from_http, encode_for_http
from safetensors.torch import load_file
from transformers import Qwen2Config, Qwen2ForCausalLM

from grpo_plugin.config.rollout import RolloutConfig
from grpo_plugin.rollout.client.http import Client
from grpo_plugin.rollout.server.command import server_command
from grpo_plugin.rollout.server.devices import DeviceSplit
from grpo_plugin.rollout.server.endpoint import choose_endpoint, make_run_dir
from grpo_plugin.rollout.server.handle import ServerHandle
from grpo_plugin.rollout.server.process import Server
from grpo_plugin.rollout.sync.file import FileTransport
from tests.tiny import make_tokenizer

AXOLOTL_REQUEST = 10 * 2**20


def make_policy() -> Qwen2ForCausalLM:
    """51 M parameters in the shapes of a real model, 201 MB in fp32."""
    torch.manual_seed(0)
    tokenizer = make_tokenizer()
    config = Qwen2Config(
        vocab_size=18432,
        hidden_size=512,
        intermediate_size=2048,
        num_hidden_layers=8,
        num_attention_heads=8,
        num_key_value_heads=4,
        max_position_embeddings=512,
        tie_word_embeddings=False,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
    )
    return Qwen2ForCausalLM(config)


def sums(tensors: Iterable[tuple[str, torch.Tensor]]) -> list[float]:
    """The sum of each tensor; it reads every byte, and is the same for the same bits."""
    return [tensor.sum().item() for _, tensor in tensors]


class Receiver(BaseHTTPRequestHandler):
    """The other process; /report returns the sums of the tensors received since the last report, and its seconds."""

    protocol_version = "HTTP/1.1"
    arrived: ClassVar[list[float]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])) or "null")
        answer: Any = None
        if self.path == "/http_update_weights/":
            Receiver.arrived += sums(decode_from_http(entry) for entry in body["params"])
        elif self.path == "/collective_rpc":
            for file in Path(body["kwargs"]["weights_path"]).glob("*.safetensors"):
                Receiver.arrived += sums(load_file(file).items())
        elif self.path == "/report":
            answer, Receiver.arrived = (sorted(self.arrived), time.process_time()), []
        text = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: Any) -> None:
        pass


def receive(pipe: Any) -> None:
    torch.set_num_threads(1)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    pipe.send(server.server_port)
    server.serve_forever()


@contextmanager
def other_process() -> Iterator[str]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=receive, args=(theirs,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.kill()
        process.join()


def send_as_axolotl(session: requests.Session, address: str, model: torch.nn.Module) -> None:
    batch: list[dict[str, Any]] = []
    size = 0
    for name, parameter in model.named_parameters():
        if batch and size + parameter.nbytes > AXOLOTL_REQUEST:
            session.post(f"{address}/http_update_weights/", json={"params": batch}).raise_for_status()
            batch, size = [], 0
        batch.append(encode_for_http(name, parameter.data))
        size += parameter.nbytes
    session.post(f"{address}/http_update_weights/", json={"params": batch}).raise_for_status()


@dataclass(frozen=True)
class Cost:
    """Seconds that passed, and seconds that a processor worked in either process."""

    passed: float
    worked: float


def measure(send: Callable[[], None], report: Callable[[], tuple[list[float], float]], expected: list[float]) -> Cost:
    _, before = report()
    start, working = time.perf_counter(), time.process_time()
    send()
    passed, worked = time.perf_counter() - start, time.process_time() - working
    arrived, after = report()
    assert arrived == expected
    return Cost(passed, worked + after - before)


def compare(model: torch.nn.Module, pairs: int) -> tuple[list[Cost], list[Cost]]:
    """What ours and Axolotl's cost, pair by pair, after one pair of warm-up."""
    expected = sorted(sums((name, parameter.data) for name, parameter in model.named_parameters()))
    with other_process() as address, requests.Session() as session, tempfile.TemporaryDirectory() as run_dir:
        handle: Any = SimpleNamespace(client=Client(address), run_dir=Path(run_dir), reload_method="reload_weights")
        transport = FileTransport(handle, Accelerator(cpu=True), timeout=60.0)
        ours, theirs = [], []
        for _ in range(pairs + 1):
            for costs, send in (
                (ours, lambda: transport.push(model, 1)),
                (theirs, lambda: send_as_axolotl(session, address, model)),
            ):
                costs.append(measure(send, lambda: session.post(f"{address}/report").json(), expected))
    return ours[1:], theirs[1:]


def into_vllm(model: Qwen2ForCausalLM, python: str, pushes: int) -> float:
    """Median seconds of a whole sync: our transport and vLLM's own loading."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model.save_pretrained(folder)
        make_tokenizer().save_pretrained(folder)
        rollout, run_dir = RolloutConfig(python=python), make_run_dir()
        endpoint = choose_endpoint(rollout, run_dir)
        command = server_command({"base_model": name}, rollout, DeviceSplit(), endpoint, "file")
        server = Server.launch(command, run_dir, folder / "vllm.log")
        try:
            server.wait_ready(600)
            handle = ServerHandle(server, Client(endpoint.address), None, timeout=60.0)
            transport = FileTransport(handle, Accelerator(cpu=True), timeout=60.0)
            times = []
            for _ in range(pushes + 1):
                start = time.perf_counter()
                transport.push(model, 1)
                times.append(time.perf_counter() - start)
        finally:
            server.stop()
    return statistics.median(times[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=7, help="how often both are run")
    parser.add_argument("--python", help="interpreter that has vLLM, to time a whole sync too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = make_policy()
    size = sum(parameter.nbytes for parameter in model.parameters()) / 1e6
    ours, theirs = compare(model, options.pairs)
    print(f"{size:.0f} MB of fp32, {options.pairs} pairs, medians           passed     worked")
    for label, costs in (("safetensors in shared memory", ours), ("Axolotl's HTTP encoding", theirs)):
        passed, worked = (statistics.median(getattr(cost, kind) for cost in costs) for kind in ("passed", "worked"))
        print(f"  {label:32} {passed:10.3f} s {worked:8.3f} s")
    passed, worked = (
        statistics.median(getattr(slow, kind) / getattr(fast, kind) for fast, slow in zip(ours, theirs, strict=True))
        for kind in ("passed", "worked")
    )
    print(f"  {'ratio':32} {passed:10.1f}   {worked:8.1f}")
    if options.python:
        print(f"  {'whole sync, with vLLM loading':32} {into_vllm(model, options.python, options.pairs):10.3f} s")


if __name__ == "__main__":
    main()
