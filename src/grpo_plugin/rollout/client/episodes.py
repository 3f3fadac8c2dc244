"""Episodes with vLLM: each is a coroutine that asks for one turn after the other, so that a slow tool holds up nobody.

When the server is lost, no episode is: turns that were answered stay, tools that run end, and `play` with a new server
goes on from the tokens that every episode has.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from grpo_plugin.errors import RolloutError
from grpo_plugin.rollout.client.failures import ServerGone, StaleWeights
from grpo_plugin.rollout.client.requests import Ask
from grpo_plugin.rollout.client.responses import Completion, completions
from grpo_plugin.rollout.client.side_by_side import named, side_by_side

if TYPE_CHECKING:  # the client also runs where vLLM is, without what environments stand on
    from grpo_plugin.environments.episode import Episode

Lost = (ServerGone, StaleWeights)

IN_FLIGHT = 1024
"""Requests at once; each has a connection of its own. What is over vLLM's `max_num_seqs` would wait there anyway."""


class Play:
    """Plays episodes to their end on one server.

    Args:
        ask: sends a body to a route and returns the JSON answer.
        fields: what every request carries.
        version: of the weights that the server has.
        longest: tokens of its context; None where it does not say.
        in_flight: requests at once; an episode whose tools run has none.
    """

    def __init__(
        self,
        ask: Ask,
        fields: Mapping[str, Any],
        version: int,
        longest: int | None = None,
        in_flight: int = IN_FLIGHT,
    ) -> None:
        self._ask, self._fields, self._version, self._longest = ask, fields, version, longest
        self._free = asyncio.Semaphore(in_flight)
        self._pending = 0
        self._stopped: asyncio.Future[RolloutError] = asyncio.get_running_loop().create_future()

    @property
    def pending(self) -> int:
        """How many turns are wanted and not answered."""
        return self._pending

    async def all(self, episodes: "Sequence[Episode]", lost: Callable[[], Awaitable[str]]) -> None:
        """Play `episodes` at once, those that have begun from where they are.

        Args:
            lost: returns only when the server is lost, with the reason.

        Raises:
            ServerGone, StaleWeights: the server was lost; every episode has the turns that were answered.
            RolloutError: a refused request; an episode that was cancelled by something else.
            Whatever an environment raises; the other episodes are cancelled.
        """
        watching = asyncio.ensure_future(self._watch(lost))
        try:
            await side_by_side(episodes, self._one)
        finally:
            watching.cancel()
            await asyncio.wait((watching,))  # until it no longer uses a connection that is closed next
        if self._stopped.done():
            raise self._stopped.result()

    async def _one(self, place: int, episode: "Episode") -> None:
        if not episode.prompt_ids:
            await episode.begin()
        while not (episode.done or self._stopped.done()):
            completion = await self._turn(place, episode)
            if completion is not None:
                await episode.add_turn(completion)

    async def _turn(self, place: int, episode: "Episode") -> Completion | None:
        """The next turn; None where the server was lost."""
        asked = asyncio.ensure_future(self._completion(place, episode))
        self._pending += 1
        try:
            await asyncio.wait((asked, self._stopped), return_when=asyncio.FIRST_COMPLETED)
            return asked.result() if asked.done() else None
        except Lost as error:
            self._stop(error)
            return None
        finally:
            self._pending -= 1
            asked.cancel()
            await asyncio.wait((asked,))  # until it no longer uses a connection that is closed next

    async def _completion(self, place: int, episode: "Episode") -> Completion:
        body = {**self._fields, "prompt": episode.token_ids, "max_tokens": self._budget(episode)}
        if "seed" in body:
            body["seed"] += place  # else the episodes of a group would be one and the same
        async with self._free:
            answer = await self._ask("/v1/completions", body)
        [[completion]] = completions(answer, 1, 1, self._version)
        return completion

    def _budget(self, episode: "Episode") -> int:
        """Tokens that the next turn may have: the episode's own limit, or less where the server takes fewer."""
        if self._longest is None:
            return episode.budget
        length = len(episode.token_ids)
        if length >= self._longest:
            raise RolloutError(
                f"vllm.max_model_len: the {self._longest} tokens of the server are used up by the {length} of an "
                f"episode, after {episode.turns} turns; raise it, or shorten the row {named(episode)}."
            )
        return min(episode.budget, self._longest - length)

    async def _watch(self, lost: Callable[[], Awaitable[str]]) -> None:
        self._stop(ServerGone(f"vLLM stopped working: {await lost()}."))

    def _stop(self, error: RolloutError) -> None:
        if not self._stopped.done():
            self._stopped.set_result(error)
