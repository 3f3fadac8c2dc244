"""HTTP to a vLLM server: token ids in, token ids and log-probabilities out."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

import httpx

from grpo_plugin.errors import RolloutError
from grpo_plugin.rollout.client.episodes import IN_FLIGHT, Play
from grpo_plugin.rollout.client.failures import ServerGone, json_of, transport_errors
from grpo_plugin.rollout.client.liveness import Liveness
from grpo_plugin.rollout.client.open_files import raise_limit
from grpo_plugin.rollout.client.requests import Ask, PromptBatch, check_length
from grpo_plugin.rollout.client.responses import Completion
from grpo_plugin.rollout.client.sampling import Sampling

if TYPE_CHECKING:  # the client also runs where vLLM is, without what environments stand on
    from grpo_plugin.environments.episode import Episode

T = TypeVar("T")
Version = int | Literal["broken"]

# Requests that one batch of prompts is spread over. All are in flight at once, so that vLLM has the whole batch to
# choose from; more requests let answers be read while others are still generated. See benchmarks/completions.py.
REQUESTS = 16

QUICK = 60.0
"""Seconds for an answer that the server need not work for."""


class Client:
    """Thread-safe.

    Args:
        address: `unix:/path/to/socket` or `http://host:port`.
        key: sent as bearer token with every request.
        timeout: seconds for one whole answer.
        requests: HTTP requests that one batch of prompts is spread over.
        fault: what is wrong with the server's processes, None for nothing; called while a request is pending.
        in_flight: turns of episodes that are asked for at once, each in a request of its own; fewer where this process
            may not open so many files.
    """

    def __init__(
        self,
        address: str,
        key: str | None = None,
        timeout: float = 1800.0,
        requests: int = REQUESTS,
        fault: Callable[[], str | None] = lambda: None,
        in_flight: int = IN_FLIGHT,
    ) -> None:
        self.address = address
        self._in_flight = max(1, min(in_flight, raise_limit() // 2))
        self._fault = fault
        self._requests = requests
        self._socket = address.removeprefix("unix:") if address.startswith("unix:") else None
        self._timeout = timeout
        self._options: dict[str, Any] = {
            "base_url": "http://vllm" if self._socket else address,
            "headers": {"authorization": f"Bearer {key}"} if key else {},
            # Connecting takes milliseconds; the answer takes as long as the generation.
            "timeout": httpx.Timeout(timeout, connect=10.0, pool=None),
            "trust_env": False,
        }
        self._http = httpx.Client(transport=httpx.HTTPTransport(**self._transport()), **self._options)
        self._adapter: str | None = None
        self._showed_images = False

    def complete(
        self,
        prompts: Sequence[Sequence[int]],
        *,
        n: int,
        sampling: Sampling,
        version: int,
        verify_version: bool = True,
        images: Sequence[Sequence[Any] | None] | None = None,
    ) -> list[list[Completion]]:
        """`n` completions of each prompt (token ids): outer list per prompt, inner list of `n`.

        `version`: of the weights that the server has. `verify_version`: have our gate in the server refuse the request
        if it has others; without, as for an external server, the version is not checked.
        `images`: per prompt its Pillow images, if any; such a prompt has one placeholder per image, not expanded.

        Raises:
            ServerGone: no connection, a broken one, a dead engine, or a server that stopped working.
            StaleWeights: the server has another weight version, or a sync failed.
            RecipeError: `sampling.extra` has a field that this vLLM does not know.
            RolloutError: a refused request (a prompt too long…), or log-probabilities that are missing or NaN.
        """
        if not prompts:
            return []
        self._showed_images = self._showed_images or images is not None
        self._check_lengths(prompts, sampling.max_tokens)
        fields = self._fields(sampling, n)

        async def work(http: httpx.AsyncClient) -> list[list[Completion]]:
            ask = self._asking(http, version if verify_version else None)
            batch = PromptBatch(ask, prompts, images or [None] * len(prompts), fields, version)
            return await batch.complete(self._requests)

        return asyncio.run(self._watched(work, generates=True))

    async def play(
        self, episodes: "Sequence[Episode]", *, sampling: Sampling, version: int, verify_version: bool = True
    ) -> None:
        """Play `episodes` to their end, all at once, from where they are; `version` and `verify_version` as above.

        Raises:
            As complete(); after ServerGone and StaleWeights, call it again with a server that works.
            Whatever an environment raises.
        """
        fields = await asyncio.to_thread(self._fields, sampling, 1)
        longest = await asyncio.to_thread(lambda: self._model.get("max_model_len"))
        async with httpx.AsyncClient(transport=self._async_transport(), **self._options) as http:
            liveness = Liveness(http, self._fault, lambda: play.pending > 0)
            ask = self._asking(http, version if verify_version else None)

            async def watched(path: str, body: Mapping[str, Any]) -> Any:
                with liveness.no_answer(self._timeout):
                    return await ask(path, body)

            play = Play(watched, fields, version, longest, self._in_flight)
            await play.all(episodes, liveness.lost)

    def post(
        self,
        path: str,
        json: Any = None,
        *,
        set_version: Version | None = None,
        timeout: float | None = None,
    ) -> Any:
        """POST and return the JSON answer, None for one that is empty or plain text.

        `set_version`: the server's weight version is "broken" from the moment the request arrives, and this value
        after a 2xx answer. For an update of several calls, give "broken" to the first and the number to the last.

        Raises:
            ServerGone, RolloutError: as complete().
        """
        headers = {} if set_version is None else {"x-grpo-set-version": str(set_version)}
        seconds = self._timeout if timeout is None else timeout

        async def send(http: httpx.AsyncClient) -> httpx.Response:
            with transport_errors(self.address, path, seconds):
                return await http.post(path, json=json, headers=headers, timeout=seconds)

        return json_of(asyncio.run(self._watched(send, generates=False)), self.address)

    def get(self, path: str) -> Any:
        """GET and return the JSON answer, None for one that is empty or plain text.

        Raises:
            ServerGone, RolloutError: as complete().
        """
        return json_of(self._get(path), self.address)

    def health(self) -> bool:
        """Whether the server answers 200 on /health now."""
        try:
            return self._http.get("/health", timeout=min(10.0, self._timeout)).status_code == 200
        except httpx.TransportError:
            return False

    def version(self) -> Version | None:
        """The weight version the server has: 0 when fresh; None for a server that was started without our gate."""
        answer = self._get("/health")
        json_of(answer, self.address)
        value = answer.headers.get("x-grpo-version")
        return int(value) if value is not None and value.isdigit() else value

    def served_model(self) -> str:
        """The model name that requests for the base model carry."""
        return str(self._model["id"])

    def served_names(self) -> list[str]:
        """The name of the base model, and the path it was loaded from where the server says that."""
        return list(dict.fromkeys(str(self._model[key]) for key in ("id", "root") if self._model.get(key)))

    def use_adapter(self, name: str | None) -> None:
        """Ask for completions from the LoRA adapter loaded under `name`; None asks the base model."""
        self._adapter = name

    def reset_caches(self) -> None:
        """Before a sync: clear the prefix cache and the cached image features, which depend on the weights."""
        self.post("/reset_prefix_cache")
        if self._showed_images:
            self.post("/reset_encoder_cache")

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _transport(self) -> dict[str, Any]:
        # Training steps are longer than uvicorn keeps an idle connection, and a request on one that it just closed
        # looks like a dead server; so every request has its own. A certificate store takes longer than a request to
        # build; only https needs one.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        return {"uds": self._socket, "verify": self.address.startswith("https:"), "limits": limits}

    def _fields(self, sampling: Sampling, n: int) -> dict[str, Any]:
        """What every request for completions carries."""
        if sampling.extra and self._request_fields:
            sampling.check(self._request_fields)
        model = {} if self._adapter is None else {"model": self._adapter}
        return {**sampling.payload(), "n": n, "logprobs": 0, "return_token_ids": True, **model}

    def _asking(self, http: httpx.AsyncClient, version: int | None) -> Ask:
        """Sends a body to a route; the server must have weights of this version, if one is given."""
        headers = {} if version is None else {"x-grpo-expect-version": str(version)}

        async def ask(path: str, body: Mapping[str, Any]) -> Any:
            with transport_errors(self.address, path, self._timeout):
                answer = await http.post(path, json=body, headers=headers)
            return json_of(answer, self.address)

        return ask

    def _async_transport(self) -> httpx.AsyncHTTPTransport:
        return httpx.AsyncHTTPTransport(**self._transport())

    async def _watched(self, work: Callable[[httpx.AsyncClient], Awaitable[T]], *, generates: bool) -> T:
        """Await `work`; cancel it when the server is lost.

        Raises:
            ServerGone: it was lost, or made no token in all the time that a generation may take.
        """
        async with httpx.AsyncClient(transport=self._async_transport(), **self._options) as http:
            liveness = Liveness(http, self._fault, lambda: generates)
            working, watching = asyncio.ensure_future(work(http)), asyncio.ensure_future(liveness.lost())
            try:
                await asyncio.wait((working, watching), return_when=asyncio.FIRST_COMPLETED)
                lost = None if working.done() else watching.result()
            finally:
                for task in (working, watching):
                    task.cancel()
                await asyncio.wait((working, watching))  # until neither uses a connection that is closed next
            if lost is not None:
                raise ServerGone(f"vLLM at {self.address} stopped working: {lost}.")
            with liveness.no_answer(self._timeout):
                return working.result()

    def _get(self, path: str) -> httpx.Response:
        seconds = min(QUICK, self._timeout)

        async def send(http: httpx.AsyncClient) -> httpx.Response:
            with transport_errors(self.address, path, seconds):
                return await http.get(path, timeout=seconds)

        return asyncio.run(self._watched(send, generates=False))

    def _check_lengths(self, prompts: Sequence[Sequence[int]], max_tokens: int) -> None:
        check_length(max(map(len, prompts)), max_tokens, self._model.get("max_model_len"))

    @cached_property
    def _model(self) -> Mapping[str, Any]:
        return self.get("/v1/models")["data"][0]

    @cached_property
    def _request_fields(self) -> Sequence[str]:
        """Fields that this vLLM's completions route knows; empty when the server hides its schema."""
        try:
            schema = self.get("/openapi.json")
        except ServerGone:
            raise
        except RolloutError:
            return ()
        return list(schema["components"]["schemas"]["CompletionRequest"]["properties"])
