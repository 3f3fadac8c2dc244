"""Failures of an HTTP request to vLLM as errors of this package, each in one sentence."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from grpo_plugin.errors import RolloutError


class ServerGone(RolloutError):
    """The server cannot be reached, or answered that it failed; a restart may help."""


class StaleWeights(RolloutError):
    """The server's weights are not the version that was expected."""


class NoAnswer(RolloutError):
    """No answer came in time; the server may still work on the request."""


@contextmanager
def transport_errors(address: str, path: str, timeout: float) -> Iterator[None]:
    """Raise failures of the connection to `address` as ours; `timeout`: the seconds that the answer may take.

    Raises:
        NoAnswer, ServerGone: nothing came in time; the connection failed.
        RolloutError: this process may open no more files.
    """
    try:
        yield
    except (httpx.ReadTimeout, httpx.WriteTimeout):
        remedy = "raise it, or ask for fewer or shorter completions" if path.endswith("completions") else "raise it"
        raise NoAnswer(
            f"vLLM at {address} did not answer {path} within {timeout:g} s (rollout.request_timeout); {remedy}."
        ) from None
    except httpx.TransportError as error:
        if out_of_files(error):
            raise RolloutError(
                "this process has as many files open as it may (EMFILE), so that no connection to vLLM can be made; "
                "raise the limit (ulimit -n)."
            ) from error
        raise ServerGone(f"vLLM at {address} cannot be reached: {error or type(error).__name__}.") from None


def out_of_files(error: BaseException | None) -> bool:
    """Whether an error of a connection comes from this side's limit of open files."""
    if error is None:
        return False
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        return True
    inner = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    return any(map(out_of_files, (*inner, error.__cause__ or error.__context__)))


def json_of(answer: httpx.Response, address: str) -> Any:
    """The JSON of a successful answer; None for plain text, as the routes for LoRA adapters answer.

    Raises:
        ServerGone: a status of 500 and more, or JSON that breaks off.
        StaleWeights: our gate in the server refused: it has other weights.
        RolloutError: any other status that is no success.
    """
    _check_status(answer, address)
    if not answer.headers.get("content-type", "").startswith("application/json"):
        return None
    try:
        return answer.json()
    except ValueError:
        path, size = answer.request.url.path, len(answer.content)
        raise ServerGone(f"vLLM at {address} sent an incomplete answer to {path} ({size} bytes).") from None


def _check_status(answer: httpx.Response, address: str) -> None:
    if answer.is_success:
        return
    path, status, message = answer.request.url.path, answer.status_code, _message(answer)
    if status == 409 and "x-grpo-version" in answer.headers:
        raise StaleWeights(f"vLLM does not have the expected version of the weights: {message}.")
    if status == 401:
        raise RolloutError(
            f"vLLM at {address} refused the key on {path} (401: {message}); set the environment variable "
            "GRPO_ROLLOUT_KEY to the key of the server at rollout.url."
        )
    if status >= 500:
        raise ServerGone(f"vLLM failed on {path} ({status}): {message}")
    raise RolloutError(f"vLLM refused {path} ({status}): {message}")


def _message(answer: httpx.Response) -> str:
    """What the server says went wrong: vLLM's and FastAPI's forms, else the text."""
    try:
        body = answer.json()
    except ValueError:
        return answer.text[:500]
    for key in ("error", "message", "detail"):
        if isinstance(body, dict) and key in body:
            body = body[key]
    return str(body)[:500]
