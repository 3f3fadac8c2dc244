"""Completions of the next batch, requested while the trainer updates the policy."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from grpo_plugin.rollout.client.responses import Completion
from grpo_plugin.rollout.client.sampling import Sampling

Groups = list[list[Completion]]


@dataclass(frozen=True)
class Request:
    """`n` completions of each prompt (token ids); `images` has per prompt its Pillow images, or None."""

    prompts: list[list[int]]
    n: int
    sampling: Sampling
    images: Sequence[Any] | None = None


class Prefetch:
    """The answer to `request`, awaited in a thread of the main process; other ranks have only the request.

    The thread is a daemon: a run that ends does not wait for the answer.
    """

    def __init__(self, request: Request) -> None:
        self.request = request
        self._groups: Groups | None = None
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None

    def start(self, ask: Callable[[], Groups]) -> None:
        """Call `ask` in the thread."""
        self._thread = threading.Thread(target=self._run, args=(ask,), daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Return when the answer, or the failure, is there."""
        if self._thread is not None:
            self._thread.join()

    def result(self) -> Groups:
        """Wait for the answer and return it.

        Raises:
            Whatever `ask` raised.
        """
        self.wait()
        if self._error is not None:
            raise self._error
        assert self._groups is not None
        return self._groups

    def _run(self, ask: Callable[[], Groups]) -> None:
        try:
            self._groups = ask()
        except BaseException as error:
            self._error = error
