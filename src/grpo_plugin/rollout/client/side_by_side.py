"""Work on several episodes at once: the first that fails ends the work on the others."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any

from grpo_plugin.errors import RolloutError

if TYPE_CHECKING:  # the client also runs where vLLM is, without what environments stand on
    from grpo_plugin.environments.episode import Episode


async def side_by_side(
    episodes: "Sequence[Episode]", work: "Callable[[int, Episode], Coroutine[Any, Any, None]]"
) -> None:
    """Run `work(place, episode)` for each of `episodes` to its end.

    Raises:
        RolloutError: the work on an episode was cancelled by something else; its row is named.
        Whatever `work` raises first; the others are cancelled.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work(place, episode)) for place, episode in enumerate(episodes)]
    except* Exception as failures:
        raise _first(failures) from None
    for episode, task in zip(episodes, tasks, strict=True):
        if task.cancelled():  # which is no failure to a TaskGroup, so that the episode would be trained on as it is
            raise RolloutError(
                f"an episode was cancelled before its end, after {episode.turns} turns; its row is "
                f"{named(episode)}; does its environment raise CancelledError?"
            )


def named(episode: "Episode") -> str:
    """The row of an episode, shortened, for an error."""
    return str(dict(episode.row))[:200]


def _first(failures: BaseExceptionGroup[Any]) -> BaseException:
    """The first error of a group that may hold groups."""
    first = failures.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
