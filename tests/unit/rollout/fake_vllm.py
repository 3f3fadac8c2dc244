"""An HTTP server on a Unix socket that answers as a test tells it to; `python fake_vllm.py SOCKET` answers 200."""

import contextlib
import json
import socketserver
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: Mapping[str, str]
    body: Any


@dataclass(frozen=True)
class Answer:
    """`body` is sent as JSON, or as it is when it is text; None hangs up without an answer."""

    body: Any = field(default_factory=dict)
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


class FakeVllm(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Every request goes to `answer`; `requests` keeps them in the order they came in, `connections` counts."""

    daemon_threads = True

    def __init__(self, path: Path, answer: Callable[[Request], Answer | None]) -> None:
        self.answer = answer
        self.requests: list[Request] = []
        self.connections = 0
        super().__init__(str(path), _Handler)
        self.address = f"unix:{path}"

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections += 1
        super().process_request(request, client_address)

    def start(self) -> None:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FakeVllm

    def do_POST(self) -> None:
        length = int(self.headers.get("content-length", 0))
        body = json.loads(self.rfile.read(length)) if length else None
        request = Request(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body)
        self.server.requests.append(request)
        answer = self.server.answer(request)
        if answer is None:
            self.close_connection = True
            return
        plain = isinstance(answer.body, str)
        text = answer.body if plain else json.dumps(answer.body)
        headers = {"content-type": "text/plain" if plain else "application/json", **answer.headers}
        with contextlib.suppress(BrokenPipeError):  # the client may have hung up
            self._send(answer.status, headers, text.encode())

    do_GET = do_POST

    def _send(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in {**headers, "content-length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "unix"

    def log_message(self, format: str, *args: Any) -> None:
        pass


if __name__ == "__main__":
    print("serving", flush=True)
    FakeVllm(Path(sys.argv[1]), lambda request: Answer()).serve_forever()
