"""A conversation with a vLLM server: messages in, text out as it is generated."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import httpx

from grpo_plugin.errors import RolloutError

Message = Mapping[str, str]


class Refused(RolloutError):
    """The server refuses this request (400), as when the conversation is longer than the model's context."""


class Conversation:
    """What was said so far.

    Args:
        address, key: as `Client` takes them.
        model: the name that the server gives it.
        chat: whether the model has a chat template; without, its prompts are plain text and nothing is remembered.
        system: the first message; none if empty.
        options: of the request, such as `temperature` and `max_tokens`.
    """

    def __init__(
        self,
        address: str,
        key: str | None,
        model: str,
        *,
        chat: bool = True,
        system: str | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        socket = address.removeprefix("unix:") if address.startswith("unix:") else None
        self._http = httpx.Client(
            base_url="http://vllm" if socket else address,
            transport=httpx.HTTPTransport(uds=socket),
            headers={"authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(600.0, connect=10.0),
            trust_env=False,
        )
        self._model, self._chat, self._system, self._options = model, chat, system, dict(options or {})
        self.messages: list[Message] = []
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self.messages = [{"role": "system", "content": self._system}] if self._system else []

    def reply(self, text: str) -> Iterator[str]:
        """The pieces of the answer to `text`, as they come; the answer is remembered once it is whole.

        Raises:
            Refused: the server refuses this request; nothing is remembered of it.
            RolloutError: the server refuses all, or does not answer.
        """
        asked: Message = {"role": "user", "content": text}
        said = ""
        for piece in self._pieces([*self.messages, asked]):
            said += piece
            yield piece
        if self._chat:
            self.messages += [asked, {"role": "assistant", "content": said}]

    def close(self) -> None:
        self._http.close()

    def _pieces(self, messages: Sequence[Message]) -> Iterator[str]:
        body: dict[str, Any] = {"model": self._model, "stream": True, **self._options}
        if self._chat:
            path, body["messages"] = "/v1/chat/completions", list(messages)
        else:
            path, body["prompt"] = "/v1/completions", "\n\n".join(message["content"] for message in messages)
        try:
            yield from self._answer(path, body)
        except Refused:
            if not self._chat or body.pop("max_tokens", None) is None:
                raise
            yield from self._answer(path, body)  # in as many tokens as the context has left

    def _answer(self, path: str, body: Mapping[str, Any]) -> Iterator[str]:
        try:
            with self._http.stream("POST", path, json=body) as answer:
                if answer.status_code != httpx.codes.OK:
                    kind = Refused if answer.status_code == httpx.codes.BAD_REQUEST else RolloutError
                    raise kind(f"vLLM refused the request ({answer.status_code}): {_reason(answer)}")
                for line in answer.iter_lines():
                    if line.startswith("data: {"):
                        yield _piece(json.loads(line.removeprefix("data: ")))
        except httpx.TransportError as error:
            raise RolloutError(f"vLLM does not answer ({error}); its log says why.") from None


def _piece(event: Mapping[str, Any]) -> str:
    choice = (event.get("choices") or [{}])[0]
    return (choice.get("delta") or {}).get("content") or choice.get("text") or ""


def _reason(answer: httpx.Response) -> str:
    answer.read()
    try:
        return str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return answer.text[:300]
