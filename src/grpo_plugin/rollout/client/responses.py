"""Completions, read from the JSON of vLLM's answer."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from grpo_plugin.errors import RolloutError
from grpo_plugin.rollout.client.failures import ServerGone


@dataclass(frozen=True)
class Completion:
    """One sampled completion.

    Attributes:
        logps: of each token of `token_ids`, the log-probability (nats) with which it was sampled.
        finish_reason: "stop", or "length" where `max_tokens` ran out.
        version: of the weights that sampled it.
    """

    token_ids: list[int]
    logps: list[float]
    finish_reason: str
    version: int


def completions(answer: Any, prompts: int, n: int, version: int) -> list[list[Completion]]:
    """The answer of `/v1/completions` or `/v1/chat/completions`: n choices per prompt, prompt after prompt.

    `version`: of the weights that the server had.

    Raises:
        ServerGone: a completion was broken off, or the answer has none.
        RolloutError: a completion is missing, or has a token without a log-probability.
    """
    if not isinstance(answer, dict) or "choices" not in answer:
        raise ServerGone(f"vLLM answered without completions: {str(answer)[:200]}.")
    choices = sorted(answer["choices"], key=lambda choice: choice["index"])
    if len(choices) != prompts * n:
        raise RolloutError(f"vLLM returned {len(choices)} completions for {prompts} prompts × {n}; check its version.")
    flat = [_completion(choice, version) for choice in choices]
    return [flat[start : start + n] for start in range(0, len(flat), n)]


def _completion(choice: Mapping[str, Any], version: int) -> Completion:
    token_ids, logps, reason = choice["token_ids"], _logps(choice["logprobs"]), choice["finish_reason"]
    if reason in (None, "abort", "error"):
        raise ServerGone(f"vLLM broke a completion off (finish_reason {reason!r}).")
    if token_ids is None or len(token_ids) != len(logps) or any(logp is None or math.isnan(logp) for logp in logps):
        raise RolloutError(
            "vLLM returned tokens without a log-probability, or NaN; check the weights for NaN and the version of vLLM."
        )
    return Completion(token_ids, logps, reason, version)


def _logps(logprobs: Mapping[str, Any]) -> list[Any]:
    """From the completions route's form, or the chat route's."""
    if "token_logprobs" in logprobs:
        return logprobs["token_logprobs"]
    return [token["logprob"] for token in logprobs["content"] or ()]
