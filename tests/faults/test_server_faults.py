"""vLLM's own server through its faults: what must end ends, who must not enter is kept out, what it says is true.

Servers are few, because each takes half a minute of a small machine; the tests of one server stand in an order, and
the last of them ends it.
"""

import math
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import httpx
import pytest

from grpo_plugin.config.rollout import RolloutConfig
from grpo_plugin.errors import RecipeError, RolloutError
from grpo_plugin.rollout.client.failures import ServerGone, StaleWeights
from grpo_plugin.rollout.client.http import Client
from grpo_plugin.rollout.client.sampling import Sampling
from grpo_plugin.rollout.server import guard
from grpo_plugin.rollout.server.command import ServerCommand, server_command
from grpo_plugin.rollout.server.devices import DeviceSplit
from grpo_plugin.rollout.server.endpoint import choose_endpoint, make_run_dir
from grpo_plugin.rollout.server.process import Server
from tests.tiny import make_model, make_tokenizer

# Another interpreter tries another version of vLLM.
VLLM_PYTHON = os.environ.get("GRPO_TEST_VLLM_PYTHON") or Path(__file__).parents[2] / ".venv-vllm" / "bin" / "python"
START_SECONDS = 500.0  # 25 s on an idle machine
DIGITS = {make_tokenizer().convert_tokens_to_ids(digit) for digit in "0123456789"}
PROMPTS = [[5, 6, 7, 8], [40, 41], [9] * 30]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(700)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def run_dir() -> Iterator[Path]:
    folder = make_run_dir()
    yield folder
    assert not folder.exists()


def plan(model: Path | str, run_dir: Path, **rollout: Any) -> ServerCommand:
    config = RolloutConfig(python=str(VLLM_PYTHON), **rollout)
    recipe = {"base_model": str(model)}
    return server_command(recipe, config, DeviceSplit(), choose_endpoint(config, run_dir), "file")


class Tree:
    """The processes and the shared memory of a server, as they were when this was made."""

    def __init__(self, server: Server) -> None:
        self.guard = server._state.guard_pid
        self.below = guard.descendants(self.guard)
        self.born = {pid: guard.start_time(pid) for pid in (self.guard, *self.below)}
        self.shared = guard.mapped_shared_memory(self.below)

    def pid(self, name: str) -> int:
        return next(pid for pid in self.below if name in Path(f"/proc/{pid}/cmdline").read_text())

    def left(self) -> list[str]:
        processes = [pid for pid, born in self.born.items() if born and guard.start_time(pid) == born]
        return [*map(str, processes), *(path for path in self.shared if Path(path).exists())]


def until(done: Callable[[], Any], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def own_a_server(command: ServerCommand, run_dir: Path, log: Path) -> None:
    """What the owner process does: launch, and never come to clean up."""
    Server.launch(command, run_dir, log)
    time.sleep(3600)


@pytest.fixture(scope="module")
def owned(model: Path) -> Iterator[tuple[Server, BaseProcess]]:
    """A ready server on its socket, adopted here, and the process that launched it."""
    run_dir = make_run_dir()
    command = plan(model, run_dir)
    owner = multiprocessing.get_context("spawn").Process(
        target=own_a_server, args=(command, run_dir, model / "vllm.log")
    )
    owner.start()
    assert until((run_dir / "server.json").exists, 60)
    server = Server.adopt(run_dir)
    assert server.matches(command)
    server.wait_ready(START_SECONDS)
    yield server, owner
    owner.kill()
    owner.join()
    server.stop()


@pytest.fixture(scope="module")
def client(owned: tuple[Server, BaseProcess]) -> Iterator[Client]:
    with Client(owned[0].endpoint.address, timeout=120) as connected:
        yield connected


def reference_logps(model: Path, prompt: list[int], completion: list[int], temperature: float) -> list[float]:
    import torch
    from transformers import AutoModelForCausalLM

    policy = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    with torch.no_grad():
        logits = policy(torch.tensor([prompt + completion])).logits[0, len(prompt) - 1 : -1] / temperature
    return logits.log_softmax(-1).gather(1, torch.tensor(completion)[:, None])[:, 0].tolist()


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_log_probabilities_are_those_of_the_policy_at_its_temperature(
    client: Client, model: Path, temperature: float
) -> None:
    sampling = Sampling(max_tokens=24, temperature=temperature)
    answers = client.complete(PROMPTS, n=2, sampling=sampling, version=0)
    assert [len(group) for group in answers] == [2, 2, 2]
    for prompt, group in zip(PROMPTS, answers, strict=True):
        for completion in group:
            assert completion.finish_reason == ("length" if len(completion.token_ids) == 24 else "stop")
            expected = reference_logps(model, prompt, completion.token_ids, temperature)
            assert completion.logps == pytest.approx(expected, abs=1e-4)
    assert answers[0][0].token_ids != answers[0][1].token_ids


def test_top_k_log_probabilities_are_renormalised_over_what_could_be_drawn(client: Client) -> None:
    """They are what a token was drawn with, as in TRL; with top_k: 1 every token was certain."""
    sampling = Sampling(max_tokens=8, top_k=1)
    (group,) = client.complete([PROMPTS[0]], n=2, sampling=sampling, version=0)
    assert group[0].token_ids == group[1].token_ids
    assert group[0].logps == pytest.approx([0.0] * 8, abs=1e-6)


def test_every_kind_of_sampling_field_reaches_vllm(client: Client) -> None:
    def draw(n: int = 1, **fields: Any) -> list[list[int]]:
        sampling = Sampling(max_tokens=12, **fields)
        (group,) = client.complete([PROMPTS[0]], n=n, sampling=sampling, version=0)
        return [completion.token_ids for completion in group]

    assert draw(seed=3) == draw(seed=3) != draw(seed=4)
    assert draw(logit_bias={70: 100.0}) == [[70] * 12]
    assert {token for ids in draw(n=4, extra={"allowed_token_ids": [70, 71]}) for token in ids} == {70, 71}
    assert draw(logit_bias={70: 100.0}, extra={"stop_token_ids": [70]}) == [[70]]
    assert draw(min_p=1.0) == draw(temperature=0.0), "min_p 1 leaves the most probable token alone"
    assert set(draw(regex="[0-9]{12}")[0]) <= DIGITS
    assert draw(repetition_penalty=2.0, temperature=0.0) != draw(temperature=0.0)


def test_what_vllm_would_ignore_and_what_does_not_fit_are_errors(client: Client) -> None:
    with pytest.raises(RecipeError, match=r"min_token: unknown to this vLLM, .* did you mean 'min_tokens'"):
        client.complete(PROMPTS, n=1, sampling=Sampling(max_tokens=4, extra={"min_token": 3}), version=0)
    with pytest.raises(RolloutError, match=r"vllm.max_model_len: 512 tokens do not hold a prompt of 510"):
        client.complete([[5] * 510], n=1, sampling=Sampling(max_tokens=4), version=0)
    with pytest.raises(RolloutError, match=r"vLLM refused /v1/completions \(400\): .*top_p"):
        client.complete(PROMPTS, n=1, sampling=Sampling(max_tokens=4, top_p=7.0), version=0)
    assert client.health()


def test_completions_of_other_weights_are_refused(client: Client) -> None:
    with pytest.raises(StaleWeights, match="have version 0, expected was 3"):
        client.complete(PROMPTS, n=1, sampling=Sampling(max_tokens=4), version=3)


def test_the_version_follows_a_reload(client: Client, model: Path) -> None:
    reload = {"method": "reload_weights", "kwargs": {"weights_path": str(model)}}
    client.post("/collective_rpc", reload, set_version=1)
    client.reset_caches()
    assert client.version() == 1
    client.complete(PROMPTS, n=1, sampling=Sampling(max_tokens=4), version=1)


def test_another_user_cannot_open_the_socket(owned: tuple[Server, BaseProcess]) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can become another user")
    path = str(owned[0].endpoint.socket)
    program = f"import socket; socket.socket(socket.AF_UNIX).connect({path!r})"
    subprocess.run([sys.executable, "-c", program], check=True)
    other = subprocess.run(
        ["/usr/bin/env", "python3", "-c", program],
        user=65534,
        group=65534,
        extra_groups=[],
        capture_output=True,
        text=True,
    )
    assert "PermissionError" in other.stderr


def running_requests(server: Server) -> float:
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(server.endpoint.socket))) as http:
        metrics = http.get("http://vllm/metrics").text
    return float(re.findall(r"^vllm:num_requests_running{.*} (.+)$", metrics, re.MULTILINE)[0])


def test_a_killed_owner_takes_everything_along(owned: tuple[Server, BaseProcess], client: Client) -> None:
    server, owner = owned
    tree = Tree(server)
    assert len(tree.below) >= 3, "API server, EngineCore, worker"
    assert tree.shared
    failures: list[BaseException] = []

    def generate() -> None:
        try:
            long = Sampling(max_tokens=480, extra={"ignore_eos": True})
            client.complete(PROMPTS * 40, n=4, sampling=long, version=0, verify_version=False)
        except RolloutError as failure:
            failures.append(failure)

    generating = threading.Thread(target=generate)
    generating.start()
    assert until(lambda: running_requests(server) > 0, 30)
    owner.kill()
    assert until(lambda: not tree.left(), 10.0), tree.left()
    assert not server.run_dir.exists()
    assert not server.alive()
    generating.join(10)
    assert [type(failure) for failure in failures] == [ServerGone]


@pytest.fixture(scope="module")
def on_tcp(model: Path) -> Iterator[Server]:
    run_dir = make_run_dir()
    server = Server.launch(plan(model, run_dir, host="127.0.0.1"), run_dir, model / "tcp.log")
    server.wait_ready(START_SECONDS)
    yield server
    server.stop()
    assert not run_dir.exists()


def logged_routes(log: Path) -> list[tuple[str, str]]:
    """Every (method, path) that vLLM said it serves; a path's parameters are filled in."""
    found = re.findall(r"Route: (\S+), Methods: (.+)", log.read_text())
    return [(method, re.sub(r"{\w+}", "x", path)) for path, methods in found for method in methods.split(", ")]


def test_no_route_opens_without_the_key(on_tcp: Server) -> None:
    routes = logged_routes(on_tcp.log_path)
    assert {("POST", "/collective_rpc"), ("POST", "/update_weights"), ("POST", "/invocations")} < set(routes)
    with httpx.Client(base_url=on_tcp.endpoint.address, trust_env=False) as http:
        key = {"authorization": f"Bearer {on_tcp.endpoint.key}"}
        described = http.get("/openapi.json", headers=key).json()["paths"]
        routes += [(method.upper(), re.sub(r"{\w+}", "x", path)) for path, how in described.items() for method in how]
        routes += [("GET", "/nothing"), ("OPTIONS", "/v1/completions"), ("GET", "//v1/models"), ("GET", "/metrics/")]
        for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Basic wrong"}):
            answers = {route: http.request(*route, headers=headers).status_code for route in routes}
            assert {route: code for route, code in answers.items() if code != 401} == {}
        upgrade = {"connection": "upgrade", "upgrade": "websocket", "sec-websocket-version": "13"}
        upgrade["sec-websocket-key"] = "dGhlIHNhbXBsZSBub25jZQ=="
        assert http.get("/v1/realtime", headers=upgrade).status_code in (401, 403)


def test_the_key_opens_and_is_nowhere_to_be_read(on_tcp: Server) -> None:
    key = on_tcp.endpoint.key or ""
    with Client(on_tcp.endpoint.address, key) as client:
        assert client.version() == 0
        (group,) = client.complete([PROMPTS[0]], n=1, sampling=Sampling(max_tokens=2), version=0)
        assert all(math.isfinite(logp) for logp in group[0].logps)
    with Client(on_tcp.endpoint.address, "wrong") as stranger, pytest.raises(RolloutError, match="refused the key"):
        stranger.served_model()
    for pid in Tree(on_tcp).born:
        assert key not in Path(f"/proc/{pid}/cmdline").read_text()
    assert key not in on_tcp.log_path.read_text()


def test_a_port_that_is_taken_is_named(on_tcp: Server, model: Path, run_dir: Path) -> None:
    with pytest.raises(RolloutError, match=rf"rollout.port: 127.0.0.1:{on_tcp.endpoint.port} cannot be served on"):
        plan(model, run_dir, host="127.0.0.1", port=on_tcp.endpoint.port)
    run_dir.rmdir()


def test_a_killed_guard_takes_everything_along(on_tcp: Server) -> None:
    tree = Tree(on_tcp)
    os.kill(tree.guard, signal.SIGKILL)
    assert until(lambda: not tree.left(), 10.0), tree.left()
    assert not on_tcp.alive()


@pytest.fixture
def starting(model: Path, run_dir: Path) -> Iterator[tuple[Server, Tree]]:
    """A server that has just started its EngineCore and is far from ready."""
    server = Server.launch(plan(model, run_dir), run_dir, model / "starting.log")
    # The API server, Python's resource tracker, and the EngineCore.
    assert until(lambda: len(guard.descendants(server._state.guard_pid)) == 3, 120)
    yield server, Tree(server)
    server.stop()


def test_a_killed_api_server_leaves_nothing(starting: tuple[Server, Tree]) -> None:
    server, tree = starting
    os.kill(tree.pid("api_server"), signal.SIGKILL)
    with pytest.raises(RolloutError, match=r"vLLM ended before it was ready: .*killed, most often for memory"):
        server.wait_ready(30)
    assert not tree.left()


def test_a_guard_killed_while_vllm_starts(starting: tuple[Server, Tree]) -> None:
    server, tree = starting
    os.kill(tree.guard, signal.SIGKILL)
    server.stop()
    assert not tree.left()


@pytest.mark.parametrize(
    ("base_model", "args", "reason"),
    [
        ("no/such-model", [], "check base_model, revision_of_model and the network"),
        (None, ["--no-such-option", "3"], "unrecognized arguments: --no-such-option; check rollout.args"),
    ],
)
def test_a_server_that_cannot_start_says_why(
    model: Path, run_dir: Path, base_model: str | None, args: list[str], reason: str
) -> None:
    command = plan(base_model or model, run_dir, args=args, env={"HF_HUB_OFFLINE": "1"})
    server = Server.launch(command, run_dir, model / "failing.log")
    with pytest.raises(RolloutError, match=f"vLLM ended before it was ready: .*{reason}"):
        server.wait_ready(START_SECONDS)


def test_an_interpreter_without_vllm_says_so(model: Path, run_dir: Path) -> None:
    config = RolloutConfig(python=sys.executable)
    recipe = {"base_model": str(model)}
    command = server_command(recipe, config, DeviceSplit(), choose_endpoint(config, run_dir), "file")
    with pytest.raises(RolloutError, match=r"set rollout.python to an interpreter that has vLLM"):
        Server.launch(command, run_dir, model / "failing.log").wait_ready(60)
