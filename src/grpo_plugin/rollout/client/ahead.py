"""A request that runs while the trainer does something else."""

import threading
from collections.abc import Callable

from grpo_plugin.rollout.client.http import Completion

Answer = list[list[Completion]]


class Ahead:
    """Completions of `prompts` asked for ahead of need; other ranks than the main one only know what was asked.

    The thread is a daemon: a run that ends does not wait for an answer that nobody will read.

    Attributes:
        version: of the weights that draw them.
    """

    def __init__(self, prompts: list[list[int]], version: int) -> None:
        self.prompts, self.version = prompts, version
        self._answer: Answer | None = None
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None

    def start(self, ask: Callable[[], Answer]) -> None:
        self._thread = threading.Thread(target=self._run, args=(ask,), daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Return when the answer, or the failure, is there."""
        if self._thread is not None:
            self._thread.join()

    def result(self) -> Answer:
        """The answer, waited for.

        Raises:
            Whatever `ask` raised.
        """
        self.wait()
        if self._error is not None:
            raise self._error
        assert self._answer is not None
        return self._answer

    def _run(self, ask: Callable[[], Answer]) -> None:
        try:
            self._answer = ask()
        except BaseException as error:
            self._error = error
