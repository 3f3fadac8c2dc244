"""HTTP to a vLLM server: token ids in, token ids and log-probabilities out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self

from grpo_plugin.errors import RolloutError


class ServerGone(RolloutError):
    """The server cannot be reached, or its engine died; a restart may help."""


class StaleWeights(RolloutError):
    """The server's weights are not the version that was expected."""


@dataclass(frozen=True)
class Completion:
    """One sampled completion; `logps[t]` is the log-probability (nats) of `token_ids[t]` as it was sampled."""

    token_ids: list[int]
    logps: list[float]
    finish_reason: str


@dataclass(frozen=True)
class Sampling:
    """How completions are drawn; every field reaches vLLM. `extra` is merged last, as TRL's generation_kwargs are."""

    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float | None = None
    repetition_penalty: float = 1.0
    seed: int | None = None
    stop: Sequence[str] = ()
    regex: str | None = None
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_args(cls, args: Any) -> Self:
        """The sampling fields of TRL's GRPOConfig."""
        raise NotImplementedError


class Client:
    """Thread-safe; `address` is `unix:/path` or `http://host:port`, `timeout` in seconds for one whole answer."""

    def __init__(self, address: str, key: str | None = None, timeout: float = 1800.0) -> None:
        raise NotImplementedError

    def complete(
        self,
        prompts: Sequence[Sequence[int]],
        *,
        n: int,
        sampling: Sampling,
        expect_version: int | None,
        images: Sequence[Any] | None = None,
    ) -> list[list[Completion]]:
        """`n` completions of each prompt (token ids): outer list per prompt, inner list of `n`.

        `expect_version`: the weight version the server must have; None asks for no check.

        Raises:
            ServerGone: no connection, a broken one, or a dead engine.
            StaleWeights: the server has another weight version, or a sync failed.
            RolloutError: a refused request (a prompt too long…), or log-probabilities that are missing or NaN.
        """
        raise NotImplementedError

    def post(
        self,
        path: str,
        json: Any = None,
        *,
        set_version: int | Literal["broken"] | None = None,
        timeout: float | None = None,
    ) -> Any:
        """POST and return the JSON answer (None if empty).

        `set_version`: the server's weight version is "broken" from the moment the request arrives, and this value
        after a 2xx answer. For an update of several calls, give "broken" to the first and the number to the last.

        Raises:
            ServerGone, RolloutError: as complete().
        """
        raise NotImplementedError

    def get(self, path: str) -> Any:
        """GET and return the JSON answer (None if empty)."""
        raise NotImplementedError

    def health(self) -> bool:
        """Whether the server answers 200 on /health now."""
        raise NotImplementedError

    def version(self) -> int | Literal["broken"]:
        """The weight version the server has: 0 when fresh."""
        raise NotImplementedError

    def served_model(self) -> str:
        """The model name that requests must carry."""
        raise NotImplementedError

    def use_adapter(self, name: str | None) -> None:
        """Ask for completions from the LoRA adapter loaded under `name`; None asks the base model."""
        raise NotImplementedError

    def reset_prefix_cache(self) -> None:
        """Forget cached prefixes: they belong to the weights before a sync."""
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
