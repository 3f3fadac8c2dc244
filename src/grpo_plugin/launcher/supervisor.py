"""The parent process of a run: it waits for `axolotl train`, passes signals on and ends every process of the run.

Axolotl replaces itself with accelerate (exec), so that no process of ours would be left to stop the vLLM server, to end
ranks whose launcher died, or to report why a run ended. So the launcher forks: the child goes on as `axolotl`, the
parent is the supervisor.
"""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable

from grpo_plugin.rollout.server import guard
from grpo_plugin.rollout.server.guard import PR_SET_CHILD_SUBREAPER, prctl
from grpo_plugin.session import end_with_parent

GRACE = 20.0  # seconds a run has to end by itself after a signal
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)


def fork(debug_log: int) -> int:
    """Fork; the child, where 0 is returned, has a process group of its own and writes to the descriptor `debug_log`.

    Its descriptor 0 is the user's screen: launchers pass no other descriptor on to the ranks.
    """
    if sys.platform == "linux":
        prctl(PR_SET_CHILD_SUBREAPER, 1)
    sys.stdout.flush()
    sys.stderr.flush()
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # until the supervisor can pass them on
    child = os.fork()
    if child == 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # Slurm sends it to every process; the supervisor answers
        os.setpgid(0, 0)
        end_with_parent()
        os.dup2(1, 0)
        os.dup2(debug_log, 1)
        os.dup2(debug_log, 2)
    else:
        with contextlib.suppress(OSError):  # the child does the same; the first call counts
            os.setpgid(child, child)
    return child


def _strays() -> list[int]:
    """The orphans of the run and what they started, without servers' guards, which end their own processes."""
    if sys.platform != "linux":
        return []
    orphans = [pid for pid in guard.children(os.getpid()) if not guard.is_guard(pid) and not guard.is_tracker(pid)]
    return [pid for orphan in orphans for pid in (orphan, *guard.descendants(orphan))]


class Supervisor:
    """Waits for the process group of `child`.

    Args:
        on_end: called once when the group has ended, also after an exception.
        on_poll: called about 20 times a second until then.
        ask_to_stop: called with the first signal, in its handler; returns the seconds in which the run ends by itself,
            None for a run that has to be stopped.
    """

    def __init__(
        self,
        child: int,
        on_end: Callable[[], None],
        on_poll: Callable[[], None] = lambda: None,
        ask_to_stop: Callable[[int], float | None] = lambda number: None,
    ) -> None:
        self.child = child
        self.on_end = on_end
        self.on_poll = on_poll
        self.ask_to_stop = ask_to_stop
        self.signal: int | None = None
        self._stop_at = self._kill_at = float("inf")
        for number in SIGNALS:
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # which nohup ignores for the run
                signal.signal(number, self._pass_on)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    def wait(self) -> int:
        """Wait for all processes of the run; returns the child's exit code, or 128 + the signal that stopped it.

        What a reward function or a library left running, in a session of its own, is ended too.
        """
        try:
            code = self._wait_for_child()
            self._wait_for_group()
        finally:
            self.on_end()
            self._reap_until(time.monotonic() + 2.0, until=lambda: not _strays())
            for pid in _strays():
                guard.kill(pid, signal.SIGKILL)
            self._reap_until(time.monotonic() + 12.0)
        return 128 + self.signal if self.signal else code

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Send `number` to the group; what has not ended after GRACE seconds is killed."""
        self._kill_at = min(self._kill_at, time.monotonic() + GRACE)
        self._signal_group(number)

    def _pass_on(self, number: int, frame: object) -> None:
        if self.signal is not None:  # a second Ctrl-C: kill at once
            self._kill_at = 0.0
            return
        self.signal = number
        seconds = self.ask_to_stop(number)
        if seconds is None:
            self.stop(signal.SIGTERM if number == signal.SIGUSR1 else number)
        else:
            self._stop_at = time.monotonic() + seconds

    def _wait_for_child(self) -> int:
        while True:
            self.on_poll()
            self._kill_if_late()
            pid, status = os.waitpid(self.child, os.WNOHANG)
            if pid:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code
            time.sleep(0.05)

    def _wait_for_group(self) -> None:
        """End the ranks that remain after their launcher has ended."""
        if self._group_lives():
            self.stop()
        while self._group_lives():
            self._kill_if_late()
            time.sleep(0.05)

    def _group_lives(self) -> bool:
        self._reap()
        try:
            os.killpg(self.child, 0)
        except ProcessLookupError:
            return False
        return True

    def _kill_if_late(self) -> None:
        if time.monotonic() > self._stop_at:
            self._stop_at = float("inf")
            self.stop()
        if time.monotonic() > self._kill_at:
            self._signal_group(signal.SIGKILL)

    def _signal_group(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.child, number)

    def _reap(self) -> None:
        """Await an ended process of the group, which counts as a member until then."""
        with contextlib.suppress(ChildProcessError):
            os.waitpid(-self.child, os.WNOHANG)

    def _reap_until(self, deadline: float, until: Callable[[], bool] = lambda: False) -> None:
        """Await the orphans that this process has adopted, such as the guard of a restarted server that is ending."""
        while time.monotonic() < deadline and not until():
            try:
                if os.waitpid(-1, os.WNOHANG) == (0, 0):
                    time.sleep(0.05)
            except ChildProcessError:
                return
