"""One episode of one row: the model's turns, its tools' results, and which tokens are whose."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

from grpo_plugin.environments.calls import MalformedCall, Message, ToolCall
from grpo_plugin.environments.environment import Environment
from grpo_plugin.environments.instances import Instance
from grpo_plugin.environments.limits import Limits
from grpo_plugin.environments.observation import images_of_row, prompt_of, with_observation
from grpo_plugin.environments.rendering import ChatRenderer
from grpo_plugin.environments.results import as_text, error_of, images_of
from grpo_plugin.environments.tool_calling import Answer, ToolCaller
from grpo_plugin.environments.turn_reading import TurnReader
from grpo_plugin.errors import EpisodeError

NO_TEXT = "something other than text, which this model does not take"


class Completion(Protocol):
    """One completion: T token ids, their log-probabilities (None where they are not known), "stop" or "length", and
    the version of the weights that generated it. In an episode it is one turn of the model."""

    @property
    def token_ids(self) -> list[int]: ...
    @property
    def logps(self) -> list[float] | None: ...
    @property
    def finish_reason(self) -> str: ...
    @property
    def version(self) -> int: ...


class Episode:
    """A state machine that somebody else feeds with turns; T = tokens behind the prompt.

    Attributes:
        prompt: messages, with what `reset()` added; `prompt_ids` are its tokens. Both are empty before `begin`.
        messages: what follows the prompt: turns of the model and results of tools.
        images: of prompt and results, in the order of their places in the tokens.
        completion_ids: (T) what was sampled, and what was put between: the results of tools.
        sampled_mask: (T) true on tokens that the policy sampled.
        logps: (T) 0.0 on tokens that were not sampled; None where the backend gives none.
        versions: (T) of the weights; a result of a tool has that of the turn before it.
        finish_reason: "stop", or "length" where the tokens ran out.
        out_of_turns: whether the last turn's calls were not run because `max_turns` was reached.
        tool_calls: calls that were answered; `failures` counts those that failed, by kind.
    """

    def __init__(
        self,
        row: Mapping[str, Any],
        label: str,
        environment: Environment,
        renderer: ChatRenderer,
        reader: TurnReader,
        caller: ToolCaller,
        limits: Limits,
    ) -> None:
        self.row, self._label = row, label
        self._environment, self._renderer, self._reader, self._caller = environment, renderer, reader, caller
        self._limits = limits
        self.prompt: list[Message] = []
        self.messages: list[Message] = []
        self.images: list[Any] = []
        self.prompt_ids: list[int] = []
        self.completion_ids: list[int] = []
        self.sampled_mask: list[bool] = []
        self.logps: list[float] | None = []
        self.versions: list[int] = []
        self.finish_reason = "stop"
        self.out_of_turns = False
        self.done = False
        self.turns = self.tool_calls = 0
        self.failures: Counter[str] = Counter()
        self._instance: Instance | None = None

    @property
    def token_ids(self) -> list[int]:
        """Prompt and completion so far: what the next turn continues."""
        return self.prompt_ids + self.completion_ids

    @property
    def budget(self) -> int:
        """Tokens that the next turn may sample; 0 when the episode is over."""
        return 0 if self.done else self._limits.left(len(self.prompt_ids), len(self.completion_ids))

    @property
    def environment(self) -> Any:
        """The instance; None without one, before `begin` and after `end`."""
        return None if self._instance is None else self._instance.value

    @property
    def tool_failures(self) -> int:
        return sum(self.failures.values())

    async def begin(self) -> None:
        """Reset an environment for the row and render the prompt.

        Raises:
            EpisodeError: the environment failed, or the prompt leaves the model no token; the row is named.
        """
        self._instance, observation = await self._environment.start(self.row, self._label, self._caller.isolation)
        if not self._renderer.is_processor and observation is not None:
            observation = as_text(observation)
            if not isinstance(observation, str):
                raise EpisodeError(f"environments: reset() returned {NO_TEXT} for {self._label}; return text.")
        prompt = self._renderer.with_images(prompt_of(self.row, self._label), images_of_row(self.row))
        self.prompt = with_observation(prompt, observation, self._label)
        rendered = self._renderer.prompt(self.prompt, self._environment.schemas)
        self.prompt_ids, self.images = list(rendered.ids), list(rendered.images)
        if self.budget == 0:
            raise EpisodeError(
                f"environments: the prompt of {self._label} has {len(self.prompt_ids)} tokens with its tools and "
                f"what reset() added, and the model takes {self._limits.model_tokens}; shorten it."
            )

    async def add_turn(self, turn: Completion) -> None:
        """Take what the model wrote to `token_ids`, run the tools that it calls, and append their results.

        Tokens over the budget are cut off, and the turn counts as unfinished.
        """
        budget = self.budget
        if budget == 0:
            raise ValueError("a turn after the end of the episode")
        before = self.token_ids
        ids = turn.token_ids[:budget]
        unfinished = turn.finish_reason == "length" or len(turn.token_ids) > budget
        self._append(ids, sampled=True, version=turn.version, logps=turn.logps)
        self.turns += 1
        read = self._reader.read(ids, before, self._environment.schemas)
        self.messages.append(read.message())
        self.out_of_turns = bool(read.calls) and not unfinished and self.turns == self._limits.turns
        self.done = unfinished or not read.calls or self.out_of_turns
        if unfinished:
            self.finish_reason = "length"
        if not self.done:
            await self._run(list(read.calls), ids[-1] if ids else None, turn.version)

    def end(self) -> None:
        """Give the instance back, once the episode was scored; calling it again does nothing."""
        instance, self._instance = self._instance, None
        if instance is not None and self._environment.pool is not None:
            self._environment.pool.give_back(instance)

    async def _run(self, calls: list[ToolCall | MalformedCall], last_token: int | None, version: int) -> None:
        answers = await self._caller.answers(calls, self._environment.tools, self._instance)
        answers = [self._renderable(answer) for answer in answers]
        results: list[Message] = [{"role": "tool", "name": one.name, "content": one.content} for one in answers]
        self.tool_calls += len(answers)
        self.failures.update(answer.failure for answer in answers if answer.failure)
        ids = self._renderer.results(results, last_token)
        if not self._limits.fits(len(self.prompt_ids), len(self.completion_ids) + len(ids)):
            self.done, self.finish_reason = True, "length"
            return
        self._append(ids, sampled=False, version=version)
        self.messages += results
        self.images += [image for message in results for image in images_of(message["content"])]
        if self.budget == 0:
            self.done, self.finish_reason = True, "length"

    def _renderable(self, answer: Answer) -> Answer:
        """The answer as this model can take it: without images, where it takes text alone."""
        content = answer.content if self._renderer.is_processor else as_text(answer.content)
        if isinstance(content, str) or self._renderer.is_processor:
            return replace(answer, content=content)
        return replace(answer, content=error_of(f"{answer.name}() returned {NO_TEXT}."), failure="exception")

    def _append(self, ids: list[int], *, sampled: bool, version: int, logps: list[float] | None = None) -> None:
        self.completion_ids += ids
        self.sampled_mask += [sampled] * len(ids)
        self.versions += [version] * len(ids)
        if sampled and logps is None:
            self.logps = None
        if self.logps is not None:
            self.logps += (logps or [])[: len(ids)] if sampled else [0.0] * len(ids)
