"""Whether the server still works while a request is pending: its processes, its `/health`, and how many tokens it made.

vLLM may never answer a request: when its EngineCore dies during a weight update, the API server waits for it; when a
process is stopped or hangs, nothing comes at all.
"""

import asyncio
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx

from grpo_plugin.rollout.client.failures import NoAnswer, ServerGone, out_of_files

LOOK_EVERY = 2.0
"""Seconds between two checks."""

FAULTS_IN_A_ROW = 3
"""Checks in a row that must fail before the server counts as lost: a busy machine delays one answer or two."""

HEALTH_TIMEOUT = 6.0
"""Seconds `/health` may take; a process that is stopped meanwhile is named after this and three more checks."""

STALLED_AFTER = 120.0
"""Seconds without a new token, or without an answer to `/health`, after which a server counts as lost."""

TOKENS = re.compile(r"^vllm:(?:prompt|generation)_tokens_total(?:{.*})? (\S+)$", re.MULTILINE)


class Liveness:
    """Checks a server until it is lost.

    Args:
        http: a client of the server, with its key.
        fault: what is wrong with the server's processes, None for nothing.
        generates: whether a request that makes tokens is pending, so that `/metrics` must show new ones.
    """

    def __init__(self, http: httpx.AsyncClient, fault: Callable[[], str | None], generates: Callable[[], bool]) -> None:
        self._http = http
        self._fault = fault
        self._generates = generates
        self._tokens: float | None = None
        self._unchanged = 0.0
        self._silent = 0.0
        self._counted_at = time.monotonic()

    @contextmanager
    def no_answer(self, timeout: float) -> Iterator[None]:
        """Take a NoAnswer for a lost server where no token was made in much of the `timeout`, in seconds.

        Raises:
            NoAnswer, ServerGone: nothing came in time, from a server that makes tokens; from one that makes none.
        """
        try:
            yield
        except NoAnswer as error:
            if self._unchanged < min(timeout / 2, STALLED_AFTER):
                raise
            raise ServerGone(f"{error} It made no token in the last {self._unchanged:.0f} s.") from None

    async def lost(self) -> str:
        """Return only when the server is lost, with the reason."""
        in_a_row = 0
        while True:
            await asyncio.sleep(LOOK_EVERY)
            fault = self._fault() or await self._health_fault()
            in_a_row = in_a_row + 1 if fault else 0
            if fault and in_a_row >= FAULTS_IN_A_ROW:
                return fault
            if not self._generates():
                self._unchanged, self._tokens = 0.0, None
            elif fault is None and not self._silent:
                await self._count_tokens()
            if self._unchanged >= STALLED_AFTER:
                return f"it made no token for {self._unchanged:.0f} s"

    async def _health_fault(self) -> str | None:
        try:
            status = (await self._http.get("/health", timeout=HEALTH_TIMEOUT)).status_code
        except httpx.TimeoutException:
            # A busy machine answers late; a stopped or dead process is found at once by the other checks.
            self._silent += HEALTH_TIMEOUT
            return f"it has not answered /health for {self._silent:.0f} s" if self._silent >= STALLED_AFTER else None
        except httpx.TransportError as error:
            return None if out_of_files(error) else "it refuses connections"
        self._silent = 0.0
        return None if status < 500 else f"it answers {status} to /health"

    async def _count_tokens(self) -> None:
        """Measure how long vLLM's token counters have not changed; does nothing for a server without them."""
        try:
            answer = await self._http.get("/metrics", timeout=HEALTH_TIMEOUT)
        except httpx.TransportError:
            return
        counters = TOKENS.findall(answer.text)
        if not counters:
            return
        tokens = sum(map(float, counters))
        elapsed, self._counted_at = time.monotonic() - self._counted_at, time.monotonic()
        # A run that was itself stopped for a while (Ctrl-Z) must not count that time against the server.
        self._unchanged = self._unchanged + min(elapsed, 2 * HEALTH_TIMEOUT) if tokens == self._tokens else 0.0
        self._tokens = tokens
