"""ASGI middleware inside vLLM's server: a key on every route, and the version of the weights it serves.

vLLM loads it by `--middleware grpo_gate.Gate` from this folder, the only part of this package it can import; so it
needs the standard library alone. vLLM's own `--api-key` guards a few path prefixes and leaves the weight and rpc routes
open.

- `GRPO_GATE_KEY` in the environment: every request and websocket needs `Authorization: Bearer KEY`, else 401.
- `x-grpo-set-version: N` on a weight update: the version is "broken" while it runs, and N after a 2xx answer.
- `x-grpo-expect-version: N` on a generation: refused with 409 unless the version is N.
- `x-grpo-version` on every answer to an admitted request. A fresh server has version 0: the weights it loaded.
"""

import hmac
import json
import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

BROKEN = "broken"


class Gate:
    """One per server process; the version it keeps is right because the server runs one API process."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.key = os.environ.get("GRPO_GATE_KEY", "").encode()
        self.version = "0"

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        headers = dict(scope["headers"])
        if self.key and not hmac.compare_digest(headers.get(b"authorization", b""), b"Bearer " + self.key):
            return await refuse(scope, send, 401, "this server asks for its key on every route")
        expected = headers.get(b"x-grpo-expect-version")
        if expected is not None and expected.decode("latin-1") != self.version:
            message = f"the weights have version {self.version}, expected was {expected.decode('latin-1')}"
            return await refuse(scope, send, 409, message, self.version)
        target = headers.get(b"x-grpo-set-version")
        if target is not None:
            self.version = BROKEN
        return await self.app(scope, receive, self._stamped(send, target))

    def _stamped(self, send: Send, target: bytes | None) -> Send:
        """`send`, with the version on the head of the answer; a 2xx head moves the version to `target`."""

        async def stamp(message: Message) -> None:
            if message["type"] == "http.response.start":
                if target is not None and 200 <= message["status"] < 300:
                    self.version = target.decode("latin-1")
                message["headers"] = [*message.get("headers", ()), (b"x-grpo-version", self.version.encode("latin-1"))]
            await send(message)

        return stamp


async def refuse(scope: Message, send: Send, status: int, text: str, version: str | None = None) -> None:
    if scope["type"] == "websocket":
        # Before the handshake is accepted, closing it answers 403.
        return await send({"type": "websocket.close", "code": 1008, "reason": text})
    body = json.dumps({"error": {"message": text, "type": "grpo_gate", "code": status}}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if version is not None:
        headers.append((b"x-grpo-version", version.encode("latin-1")))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    return await send({"type": "http.response.body", "body": body})
