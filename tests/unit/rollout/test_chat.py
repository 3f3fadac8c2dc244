"""A conversation over HTTP, with a server that answers word by word."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from grpo_plugin.errors import RolloutError
from grpo_plugin.rollout.client.chat import Conversation, Refused


class Words(BaseHTTPRequestHandler):
    """Answers with the number of messages, or repeats a prompt; refuses what is not for `mine`, or too long.

    The context has room for three messages and an answer of 5 tokens, or for five and one that is not limited.
    """

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.asked.append((self.path, body, self.headers["authorization"]))  # type: ignore[attr-defined]
        if body["model"] != "mine":
            self.send_response(404)
            self.end_headers()
            self.wfile.write(b'{"error": {"message": "no such model"}}')
            return
        if len(body.get("messages", [])) > (3 if body.get("max_tokens", 0) > 5 else 5):
            self.send_response(400)
            self.end_headers()
            self.wfile.write(b'{"error": {"message": "the context is full"}}')
            return
        self.send_response(200)
        self.end_headers()
        for piece in ("there are ", str(len(body.get("messages", [])))):
            choice = {"delta": {"content": piece}} if "messages" in body else {"text": piece}
            self.wfile.write(f"data: {json.dumps({'choices': [choice]})}\n\n".encode())
        self.wfile.write(b'data: {"choices": [], "usage": {}}\n\ndata: [DONE]\n\n')

    def log_message(self, *args: object) -> None: ...


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    made = HTTPServer(("127.0.0.1", 0), Words)
    made.asked = []  # type: ignore[attr-defined]
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


def conversation(server: HTTPServer, model: str = "mine", **options) -> Conversation:
    return Conversation(f"http://127.0.0.1:{server.server_port}", "k", model, **options)


def test_answers_are_remembered_until_a_new_beginning(server):
    talk = conversation(server, system="be brief", options={"temperature": 0.0, "max_tokens": 5})
    assert list(talk.reply("one")) == ["there are ", "2", ""]
    assert "".join(talk.reply("two")) == "there are 4"
    path, body, key = server.asked[-1]
    assert path == "/v1/chat/completions" and key == "Bearer k"
    assert body["messages"] == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "there are 2"},
        {"role": "user", "content": "two"},
    ]
    assert (body["temperature"], body["max_tokens"], body["stream"]) == (0.0, 5, True)
    talk.forget()
    assert "".join(talk.reply("three")) == "there are 2"
    talk.close()


def test_a_model_without_a_chat_template_gets_text(server):
    talk = conversation(server, chat=False, system="Sums.")
    assert "".join(talk.reply("1+1=")) == "there are 0"
    path, body, _ = server.asked[-1]
    assert path == "/v1/completions" and body["prompt"] == "Sums.\n\n1+1=" and "messages" not in body
    "".join(talk.reply("2+2="))
    assert server.asked[-1][1]["prompt"] == "Sums.\n\n2+2="
    talk.close()


def test_a_conversation_that_becomes_too_long(server):
    talk = conversation(server, options={"max_tokens": 9})
    assert ["".join(talk.reply(text)) for text in "abc"] == ["there are 1", "there are 3", "there are 5"]
    assert "max_tokens" in server.asked[1][1] and "max_tokens" not in server.asked[3][1], "as much as is left"
    before = list(talk.messages)
    with pytest.raises(Refused, match=r"refused the request \(400\): the context is full"):
        list(talk.reply("d"))
    assert talk.messages == before
    talk.forget()
    assert "".join(talk.reply("e")) == "there are 1"
    talk.close()


def test_a_refusal_and_a_server_that_is_gone(server):
    talk = conversation(server, model="other")
    with pytest.raises(RolloutError, match=r"refused the request \(404\): no such model"):
        list(talk.reply("one"))
    assert talk.messages == []
    talk.close()
    gone = Conversation("http://127.0.0.1:9", None, "mine")
    with pytest.raises(RolloutError, match="does not answer"):
        list(gone.reply("one"))
    gone.close()
