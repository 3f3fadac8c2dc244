"""Questions to a model behind any OpenAI-compatible endpoint: many at once, asked again, remembered, counted."""

import asyncio
import hashlib
import json
import logging
import os
import random
import re
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import httpx
from pydantic import Field

from grpo_plugin.config.block import Block
from grpo_plugin.errors import RecipeError, RewardError

log = logging.getLogger(__name__)

Message = dict[str, str]

_AGAIN = frozenset((408, 409, 425, 429))
_UNFIT = frozenset((400, 413, 422))  # of this one question, such as a text longer than the model's context
_LONGEST_PAUSE = 60.0
_REMEMBERED = 20_000
_ENVIRONMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")


class Unreadable(ValueError):
    """A judge's answer is not of the form that it was asked for."""


class Prices(Block):
    """What a judge costs, of a million tokens."""

    input: Annotated[float, Field(ge=0, description="Of the questions.")]
    output: Annotated[float, Field(ge=0, description="Of the answers.")]


class Endpoint(Block):
    """Where a judge is, and how it is asked."""

    base_url: Annotated[str, Field(pattern="^https?://", description="Up to and with `/v1`.")]
    model: Annotated[str, Field(min_length=1, description="The name under which the server knows it.")]
    api_key_env: Annotated[
        str | None, Field(description="Environment variable with the key; null where the server asks for none.")
    ] = None
    concurrency: Annotated[int, Field(ge=1, description="Questions under way at a time, of this process.")] = 16
    timeout: Annotated[float, Field(gt=0, description="Seconds of one attempt.")] = 60.0
    retries: Annotated[int, Field(ge=0, description="Attempts after the first.")] = 4
    pause: Annotated[
        float, Field(ge=0, description="Seconds before the second attempt; each further pause is twice as long.")
    ] = 1.0
    within: Annotated[float, Field(gt=0, description="Seconds for all questions of a batch together.")] = 240.0
    max_tokens: Annotated[int, Field(ge=1, description="Of an answer.")] = 1024
    temperature: Annotated[float, Field(ge=0, description="Of the judge's sampling.")] = 0.0
    body: Annotated[dict[str, Any], Field(default_factory=dict, description="Further fields of every request.")]
    remember: Annotated[bool, Field(description="The same question is asked once.")] = True
    prices: Prices | None = None

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Endpoint":
        """The endpoint that a recipe describes.

        Raises:
            RewardError: for the first mistake.
        """
        try:
            return cls.parse("endpoint", values)
        except RecipeError as error:
            raise RewardError(str(error)) from None

    def headers(self) -> dict[str, str]:
        """The key as a header.

        Raises:
            RewardError: `api_key_env` is no name of a variable, or the variable is not set; the value is never shown.
        """
        if self.api_key_env is None:
            return {}
        if not _ENVIRONMENT_NAME.fullmatch(self.api_key_env):
            raise RewardError(
                "endpoint.api_key_env: names the environment variable with the key, such as OPENAI_API_KEY, and what "
                "is given is no such name; never write the key itself into a recipe."
            )
        key = os.environ.get(self.api_key_env)
        if not key:
            raise RewardError(
                f"endpoint.api_key_env: the environment variable {self.api_key_env} is not set; export it."
            )
        return {"Authorization": f"Bearer {key}"}

    def without_key(self, text: str) -> str:
        """What a server said, which may repeat the key that it refuses."""
        key = os.environ.get(self.api_key_env or "")
        return text.replace(key, "***") if key else text

    def request(self, messages: Sequence[Message]) -> dict[str, Any]:
        """The body of one request."""
        asked = {"model": self.model, "messages": list(messages), "max_tokens": self.max_tokens}
        return {**asked, "temperature": self.temperature, **self.body}


@dataclass(frozen=True)
class Question:
    """What a judge is asked, and what reads its answer: `read` raises Unreadable for one of another form."""

    messages: Sequence[Message]
    read: Callable[[str], Any]


@dataclass
class Usage:
    """What the questions of one call took.

    Attributes:
        calls: requests sent; `retries` are those of them that ask again.
        cached: questions that were not sent, as their answer was known or they were asked twice.
        prompt_tokens, completion_tokens: as the endpoint counts them; of answers that could not be read, too.
    """

    calls: int = 0
    retries: int = 0
    cached: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def cost(self, prices: Prices) -> float:
        """In the currency of the prices."""
        return (self.prompt_tokens * prices.input + self.completion_tokens * prices.output) / 1e6


_known: OrderedDict[str, str] = OrderedDict()


async def ask_all(endpoint: Endpoint, questions: Sequence[Question]) -> tuple[list[Any], Usage]:
    """What was read in the answer to each question; None for those without a readable one in time.

    Raises:
        RewardError: the endpoint refuses every question: a wrong key, address or model.
    """
    usage, headers = Usage(), endpoint.headers()
    keys = [_key(endpoint, place, question) for place, question in enumerate(questions)]
    answers = {key: _known[key] for key in keys if key in _known}
    missing = {key: question for key, question in zip(keys, questions, strict=True) if key not in answers}
    usage.cached = len(questions) - len(missing)
    fresh = await _answers(endpoint, headers, missing, usage)
    if endpoint.remember:
        _remember(fresh)
    answers |= fresh
    read = [
        question.read(answers[key]) if key in answers else None for key, question in zip(keys, questions, strict=True)
    ]
    return read, usage


def forget() -> None:
    """Forget every remembered answer."""
    _known.clear()


async def _answers(
    endpoint: Endpoint,
    headers: Mapping[str, str],
    questions: Mapping[str, Question],
    usage: Usage,
) -> dict[str, str]:
    """The readable answers by key, as text. When the time is over, what is still under way is given up."""
    if not questions:
        return {}
    limit = asyncio.Semaphore(endpoint.concurrency)
    connections = httpx.Limits(max_connections=endpoint.concurrency)
    async with httpx.AsyncClient(headers=headers, timeout=None, limits=connections) as client:
        attempts = _Attempts(client, endpoint, limit, usage)
        tasks = {key: asyncio.create_task(attempts.answer(question)) for key, question in questions.items()}
        try:
            await asyncio.wait(tasks.values(), timeout=endpoint.within, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for task in tasks.values():
                task.cancel()
            await asyncio.gather(*tasks.values(), return_exceptions=True)
    ended = {key: task for key, task in tasks.items() if not task.cancelled()}
    attempts.reasons[f"no answer within {endpoint.within:g} s"] += len(tasks) - len(ended)
    answers = {key: answer for key, task in ended.items() if (answer := task.result()) is not None}
    if len(answers) < len(tasks):
        reasons = "; ".join(f"{reason} ({number})" for reason, number in attempts.reasons.most_common(3) if number)
        log.warning(
            "no verdict on %d of %d questions to %s: %s",
            len(tasks) - len(answers),
            len(tasks),
            endpoint.base_url,
            reasons,
        )
    return answers


@dataclass(frozen=True)
class _Attempts:
    """Asks one question until there is a readable answer, or no attempt is left."""

    client: httpx.AsyncClient
    endpoint: Endpoint
    limit: asyncio.Semaphore
    usage: Usage
    reasons: Counter[str] = field(default_factory=Counter)  # why questions have no answer

    async def answer(self, question: Question) -> str | None:
        """The text of a readable answer; None after the last attempt, and where the question itself is refused."""
        body, reason = self.endpoint.request(question.messages), ""
        url = f"{self.endpoint.base_url.rstrip('/')}/chat/completions"
        for attempt in range(self.endpoint.retries + 1):
            self.usage.retries += attempt > 0
            try:
                async with self.limit, asyncio.timeout(self.endpoint.timeout):
                    self.usage.calls += 1
                    response = await self.client.post(url, json=body)
            except (httpx.RequestError, TimeoutError) as error:
                reason = f"{type(error).__name__} {error}".strip()
                await self._pause(attempt)
                continue
            if response.status_code in _AGAIN or response.status_code >= 500:
                reason = f"status {response.status_code}"
                await self._pause(attempt, response.headers.get("retry-after"))
                continue
            if response.status_code != 200:
                reason = self._refused(response)
                break
            try:
                return self._readable(response, question)
            except Unreadable as error:
                reason = f"unreadable: {error}"
        self.reasons[reason] += 1
        return None

    async def _pause(self, attempt: int, wanted: str | None = None) -> None:
        """Wait before the next attempt: twice as long as the last time, at least what the server asks for."""
        if attempt == self.endpoint.retries:
            return
        seconds = self.endpoint.pause * 2**attempt * random.uniform(0.5, 1.0)
        if wanted and wanted.strip().isdigit():
            seconds = max(seconds, float(wanted))
        await asyncio.sleep(min(seconds, _LONGEST_PAUSE))

    def _refused(self, response: httpx.Response) -> str:
        """Why a question is refused; RewardError where every one would be."""
        said = self.endpoint.without_key(" ".join(response.text.split()))[:200]
        if response.status_code not in _UNFIT:
            raise RewardError(
                f"endpoint.base_url: {self.endpoint.base_url} refuses the model {self.endpoint.model!r} with status "
                f"{response.status_code} ({said}); check base_url, model and api_key_env."
            )
        return f"status {response.status_code} {said}"

    def _readable(self, response: httpx.Response, question: Question) -> str:
        try:
            values = response.json()
            text = values["choices"][0]["message"]["content"]
            tokens = values.get("usage") or {}
            self.usage.prompt_tokens += int(tokens.get("prompt_tokens") or 0)
            self.usage.completion_tokens += int(tokens.get("completion_tokens") or 0)
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            raise Unreadable(f"no chat completion: {type(error).__name__}") from None
        if not isinstance(text, str):
            raise Unreadable("without text")
        question.read(text)
        return text


def _key(endpoint: Endpoint, place: int, question: Question) -> str:
    """Equal for questions to one endpoint in the same words, where answers are remembered."""
    parts = [endpoint.base_url, endpoint.request(question.messages), None if endpoint.remember else place]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def _remember(answers: Mapping[str, str]) -> None:
    _known.update(answers)
    while len(_known) > _REMEMBERED:
        _known.popitem(last=False)
