"""A long run with random faults from a seed: `make soak`, or `python -m tests.faults.soak --minutes 30 --seed 0`.

After each fault the run must take another step within RECOVERS seconds. At the end it prints how the memory of each
process grew, in MB per 100 steps; the exit code is 1 if a fault was not survived.
"""

import argparse
import os
import random
import re
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy

from tests.training import VLLM_PYTHON, Training, write_recipe

RECOVERS = 300.0
QUIET = (15.0, 45.0)  # seconds between two faults
LEAST = 20  # samples, of one a second, for a slope
PARTS = {
    "vLLM's API server": "api_server",
    "vLLM's EngineCore": "EngineCore",
    "trainer": "-m axolotl.cli.train",
}


class Soak:
    """One recipe, the run of it that goes on, and what was measured."""

    def __init__(self, folder: Path) -> None:
        rollout = {"python": str(VLLM_PYTHON), "restarts": 10_000}
        endless = {"max_steps": 1_000_000, "num_epochs": 1_000_000}
        saves = {"save_strategy": "steps", "save_steps": 10, "save_total_limit": 2}
        self.recipe = write_recipe(folder, rollout=rollout, **endless, **saves)
        self.training = Training(self.recipe)
        self.memory: dict[tuple[str, int], list[tuple[int, float]]] = defaultdict(list)  # (step, MB) by process
        self.faults = {
            "API server killed": lambda: self._signal("api_server", signal.SIGKILL),
            "EngineCore killed": lambda: self._signal("EngineCore", signal.SIGKILL),
            "EngineCore stopped": lambda: self._signal("EngineCore", signal.SIGSTOP),
            "trainer killed, run resumed": lambda: self._resume(self._kill_trainer),
            "Ctrl-C, run resumed": lambda: self._resume(lambda: os.kill(self.training.process.pid, signal.SIGINT)),
        }

    def step(self) -> int:
        """The last step on the screen; 0 before the first."""
        found = re.findall(r"^ +(\d+) +-?\d", self.training.screen, re.MULTILINE)
        return int(found[-1]) if found else 0

    def sample(self) -> None:
        """Note the memory of each part, once."""
        for name, word in PARTS.items():
            for pid in self._pids(word):
                self.memory[name, pid].append((self.step(), _megabytes(pid)))

    def goes_on(self) -> bool:
        """Whether another step is taken in time, and the run is still there."""
        before, deadline = self.step(), time.monotonic() + RECOVERS
        while time.monotonic() < deadline and self.training.process.poll() is None:
            if self.step() > before:
                return True
            time.sleep(0.5)
        return False

    def _pids(self, word: str) -> list[int]:
        around = {*self.training.pids("guard.py"), *self.training.pids("accelerate", "launch")}
        return [pid for pid in self.training.pids(word) if pid not in around]

    def _signal(self, word: str, number: int) -> None:
        for pid in self._pids(word):
            os.kill(pid, number)

    def _kill_trainer(self) -> None:
        self._signal("-m axolotl.cli.train", signal.SIGKILL)

    def _resume(self, end: Callable[[], None]) -> None:
        end()
        self.training.wait(120)
        self.training.wait_for_end_of_all(30)
        self.training = Training(self.recipe, "--auto-resume-from-checkpoints")

    def slopes(self) -> list[str]:
        """For each process that was there long enough: memory at its end, and its growth in MB per 100 steps."""
        lines = []
        for (name, pid), samples in self.memory.items():
            steps, megabytes = numpy.array(samples[len(samples) // 4 :]).T  # without its warm-up
            if len(steps) >= LEAST and steps[-1] > steps[0]:
                slope = numpy.polyfit(steps, megabytes, 1)[0] * 100
                took = int(steps[-1] - steps[0])
                lines.append(f"{name:20} {pid:8} {megabytes[-1]:8.0f} MB {slope:+8.2f} MB per 100 steps, of {took}")
        return lines


def _megabytes(pid: int) -> float:
    """Memory of its own, without what it shares with others or maps from files; 0 for one that has ended."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    found = re.search(r"^RssAnon:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # ends the run that it started, too
    chance, survived = random.Random(options.seed), True
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        soak = Soak(Path(folder))
        deadline = time.monotonic() + options.minutes * 60
        try:
            survived = soak.goes_on()
            while survived and time.monotonic() < deadline:
                quiet = time.monotonic() + chance.uniform(*QUIET)
                while time.monotonic() < quiet:
                    soak.sample()
                    time.sleep(1.0)
                name = chance.choice(list(soak.faults))
                began = time.monotonic()
                print(f"step {soak.step():6}: {name}", end="", flush=True)
                soak.faults[name]()
                survived = soak.goes_on()
                print(
                    f", next step after {time.monotonic() - began:.0f} s" if survived else ", not survived", flush=True
                )
        finally:
            if not survived:
                print(soak.training.screen[-3000:])
            soak.training.destroy()
        print("\n".join(soak.slopes()))
    return 0 if survived else 1


if __name__ == "__main__":
    sys.exit(main())
