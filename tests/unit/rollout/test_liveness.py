"""A server that stops working while a request is out: every kind is seen, and a slow one is left at work."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from grpo_plugin.errors import RolloutError
from grpo_plugin.rollout.client import liveness
from grpo_plugin.rollout.client.failures import NoAnswer, ServerGone
from grpo_plugin.rollout.client.http import Client
from grpo_plugin.rollout.client.sampling import Sampling
from tests.unit.rollout.fake_vllm import Answer, FakeVllm, Request

WAITING = ("/v1/completions", "/collective_rpc")
Serve = Callable[..., Client]


class Vllm:
    """Leaves completions and weight updates without an answer until `release`; counts tokens as told."""

    def __init__(self, tokens: Callable[[int], float | None] = lambda look: float(look), health: int = 200) -> None:
        self.release = threading.Event()
        self.tokens, self.health = tokens, health
        self.looks = 0

    def __call__(self, request: Request) -> Answer | None:
        if request.path == "/v1/models":
            return Answer({"data": [{"id": "policy", "max_model_len": 100}]})
        if request.path == "/health":
            return Answer(status=self.health)
        if request.path == "/metrics":
            self.looks += 1
            count = self.tokens(self.looks)
            return Answer("" if count is None else f'vllm:generation_tokens_total{{engine="0"}} {count}\n')
        assert request.path in WAITING
        self.release.wait(20)
        return None


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveness, "LOOK_EVERY", 0.02)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    opened: list[tuple[FakeVllm, Client, Vllm]] = []

    def run(vllm: Vllm, **options: Any) -> Client:
        server = FakeVllm(tmp_path / "vllm.sock", vllm)
        server.start()
        opened.append((server, Client(server.address, **options), vllm))
        return opened[-1][1]

    yield run
    for server, client, vllm in opened:
        vllm.release.set()
        client.close()
        server.shutdown()
        server.server_close()


def generate(client: Client) -> Any:
    return client.complete([[1], [2]], n=1, sampling=Sampling(max_tokens=5), version=0)


def reload(client: Client) -> Any:
    return client.post("/collective_rpc", {"method": "reload_weights"})


@pytest.mark.parametrize("request_", [generate, reload], ids=["generation", "sync"])
def test_a_stopped_process_is_named(serve: Serve, request_: Callable[[Client], Any]) -> None:
    client = serve(Vllm(), fault=lambda: "its process 7 is stopped (SIGSTOP)")
    with pytest.raises(ServerGone, match=r"stopped working: its process 7 is stopped \(SIGSTOP\)"):
        request_(client)


@pytest.mark.parametrize("request_", [generate, reload], ids=["generation", "sync"])
def test_a_dead_engine_behind_a_living_api_server_is_seen(serve: Serve, request_: Callable[[Client], Any]) -> None:
    client = serve(Vllm(health=503))
    with pytest.raises(ServerGone, match="stopped working: it answers 503 to /health"):
        request_(client)


def test_a_server_that_takes_no_connection_any_more_is_seen(serve: Serve, tmp_path: Path) -> None:
    vllm = Vllm()
    client = serve(vllm)
    reloading = threading.Timer(0.1, (tmp_path / "vllm.sock").unlink)
    reloading.start()
    with pytest.raises(ServerGone, match="stopped working: it refuses connections"):
        reload(client)
    reloading.join()


def test_a_fault_that_passes_is_no_reason(serve: Serve) -> None:
    vllm = Vllm()
    faults = iter(["it does not answer", "it does not answer", None] * 5)

    def fault() -> str | None:
        found = next(faults, None)
        if found is None and vllm.looks >= 5:
            vllm.release.set()
        return found

    with pytest.raises(ServerGone, match="cannot be reached"):  # the stand-in hangs up in the end
        generate(serve(vllm, fault=fault))
    assert vllm.looks >= 5


def test_a_generation_without_a_new_token_is_stalled(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveness, "STALLED_AFTER", 0.1)
    with pytest.raises(ServerGone, match="stopped working: it made no token for"):
        generate(serve(Vllm(tokens=lambda look: 5.0)))


@pytest.mark.parametrize("tokens", [lambda look: float(look), lambda look: None], ids=["slow", "not counted"])
def test_a_slow_generation_runs_into_its_time_limit_and_is_not_replaced(serve: Serve, tokens: Any) -> None:
    with pytest.raises(
        NoAnswer, match=r"within 0.5 s \(rollout.request_timeout\); raise it, or ask for fewer"
    ) as caught:
        generate(serve(Vllm(tokens=tokens), timeout=0.5))
    assert not isinstance(caught.value, ServerGone)


def test_a_time_limit_reached_without_a_token_is_a_server_gone(serve: Serve) -> None:
    with pytest.raises(ServerGone, match=r"did not answer .* It made no token in the last"):
        generate(serve(Vllm(tokens=lambda look: 5.0), timeout=3.0))


def test_the_advice_on_a_weight_update_is_not_that_on_completions(serve: Serve) -> None:
    with pytest.raises(RolloutError, match=r"\(rollout.request_timeout\); raise it\.$"):
        reload(serve(Vllm(), timeout=0.2))
