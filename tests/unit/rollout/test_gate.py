import ast
import asyncio
import json
import sys
from collections.abc import Mapping
from typing import Any

import pytest

from grpo_plugin.rollout.server.command import GATE_FOLDER
from grpo_plugin.rollout.server.gate.grpo_gate import Gate

KEY = {"authorization": "Bearer s3cret"}


class App:
    """Answers every request with `status`, and every websocket by accepting it."""

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.calls = 0
        self.version_meanwhile: str | None = None
        self.gate: Gate | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.calls += 1
        self.version_meanwhile = self.gate.version if self.gate else None
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
        else:
            await send({"type": "http.response.start", "status": self.status, "headers": [(b"x-of", b"app")]})
            await send({"type": "http.response.body", "body": b"{}"})


def call(gate: Gate, headers: Mapping[str, str] = {}, kind: str = "http") -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": kind, "headers": [(name.encode(), value.encode()) for name, value in headers.items()]}
    asyncio.run(gate(scope, None, send))  # type: ignore[arg-type]
    return sent


def status(gate: Gate, headers: Mapping[str, str] = {}) -> int:
    return int(call(gate, headers)[0]["status"])


@pytest.fixture
def app() -> App:
    return App()


@pytest.fixture
def gate(app: App) -> Gate:
    app.gate = Gate(app)
    return app.gate


@pytest.fixture
def locked(app: App, monkeypatch: pytest.MonkeyPatch) -> Gate:
    monkeypatch.setenv("GRPO_GATE_KEY", "s3cret")
    return Gate(app)


@pytest.mark.parametrize(
    "wrong", [{}, {"authorization": "Bearer s3cre"}, {"authorization": "s3cret"}, {"key": "s3cret"}]
)
def test_without_the_key_nothing_passes(locked: Gate, app: App, wrong: dict[str, str]) -> None:
    head, body = call(locked, wrong)
    assert head["status"] == 401
    assert json.loads(body["body"])["error"]["message"] == "this server asks for its key on every route"
    assert b"x-grpo-version" not in dict(head["headers"])
    assert app.calls == 0


def test_a_websocket_without_the_key_is_closed_before_it_opens(locked: Gate, app: App) -> None:
    assert call(locked, kind="websocket") == [
        {"type": "websocket.close", "code": 1008, "reason": "this server asks for its key on every route"}
    ]
    assert app.calls == 0
    assert call(locked, KEY, kind="websocket") == [{"type": "websocket.accept"}]


def test_the_key_opens(locked: Gate) -> None:
    assert status(locked, KEY) == 200


def test_without_a_key_in_the_environment_the_gate_is_open(gate: Gate) -> None:
    assert status(gate) == 200


def test_startup_events_pass(locked: Gate, app: App) -> None:
    call(locked, kind="lifespan")
    assert app.calls == 1


def test_a_fresh_server_has_version_0_and_says_so(gate: Gate) -> None:
    head, _ = call(gate)
    assert head["headers"] == [(b"x-of", b"app"), (b"x-grpo-version", b"0")]


def test_an_update_moves_the_version_when_it_has_succeeded(gate: Gate, app: App) -> None:
    head, _ = call(gate, {"x-grpo-set-version": "3"})
    assert app.version_meanwhile == "broken"
    assert dict(head["headers"])[b"x-grpo-version"] == b"3"
    assert status(gate, {"x-grpo-expect-version": "3"}) == 200


def test_a_failed_update_leaves_the_version_broken(gate: Gate, app: App) -> None:
    app.status = 500
    assert status(gate, {"x-grpo-set-version": "1"}) == 500
    app.status = 200
    for expected in ("0", "1"):
        assert status(gate, {"x-grpo-expect-version": expected}) == 409
    assert status(gate, {"x-grpo-set-version": "2"}) == 200
    assert status(gate, {"x-grpo-expect-version": "2"}) == 200


def test_an_update_that_raises_leaves_the_version_broken() -> None:
    async def raising(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("engine died")

    gate = Gate(raising)
    with pytest.raises(RuntimeError):
        call(gate, {"x-grpo-set-version": "1"})
    assert gate.version == "broken"


def test_an_update_of_several_calls_is_broken_until_the_last(gate: Gate) -> None:
    assert status(gate, {"x-grpo-set-version": "broken"}) == 200
    assert status(gate) == 200
    assert status(gate, {"x-grpo-expect-version": "0"}) == 409
    assert status(gate, {"x-grpo-set-version": "1"}) == 200
    assert gate.version == "1"


def test_other_weights_are_refused_before_they_generate(gate: Gate, app: App) -> None:
    head, body = call(gate, {"x-grpo-expect-version": "7"})
    assert head["status"] == 409
    assert dict(head["headers"])[b"x-grpo-version"] == b"0"
    assert json.loads(body["body"])["error"]["message"] == "the weights have version 0, expected was 7"
    assert app.calls == 0


def test_nothing_else_is_on_vllms_path() -> None:
    names = {file.name for file in GATE_FOLDER.iterdir() if file.name != "__pycache__"}
    assert names == {"grpo_gate.py", "grpo_worker.py"}, "all in this folder shadows modules of vLLM's environment"


@pytest.mark.parametrize("name", ["grpo_gate.py", "grpo_worker.py"])
def test_it_needs_the_standard_library_alone(name: str) -> None:
    tree = ast.parse((GATE_FOLDER / name).read_text())
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in imported} <= sys.stdlib_module_names
