"""A stand-in for vLLM at the HTTP seam: remembers requests and answers as told, in the place of a GPU server."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = tuple[int, Any]


@dataclass
class Recorded:
    """`calls` are (path, body, value of x-grpo-set-version), in the order of their arrival."""

    address: str
    calls: list[tuple[str, Any, str | None]] = field(default_factory=list)

    def paths(self) -> list[str]:
        return [path for path, _, _ in self.calls]


@contextmanager
def recording(answer: Callable[[str, Any], Answer] = lambda path, body: (200, {})) -> Iterator[Recorded]:
    """`answer` maps path and body to status and JSON; it runs in a thread of its own for each request."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))) or "null")
            recorded.calls.append((self.path, body, self.headers.get("x-grpo-set-version")))
            status, value = answer(self.path, body)
            text = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    recorded = Recorded(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield recorded
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
