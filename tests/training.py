"""Real training runs of a tiny random model, for tests: `axolotl train` in a process of its own."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from grpo_plugin.rollout.server.guard import mapped_shared_memory
from tests.tiny import make_model

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
VLLM_PYTHON = ROOT / ".venv-vllm" / "bin" / "python"

REWARDS = """
def digits(completions, **columns):
    return [sum(c.isdigit() for c in completion[0]["content"]) / 16 for completion in completions]


def answer_length(completions, answer, **columns):
    return [-abs(len(c[0]["content"]) - len(a)) / 16 for c, a in zip(completions, answer)]


def first_long_then_short(completions, completion_ids, trainer_state, **columns):
    sign = 1 if trainer_state.global_step < 1 else -1
    return [sign * len(ids) / 16 for ids in completion_ids]


def broken(completions, **columns):
    raise ValueError("this grader is broken")


def broken_at_the_second_step(completions, trainer_state, **columns):
    if trainer_state.global_step == 1:
        raise ZeroDivisionError("this grader is broken")
    return [0.0] * len(completions)
"""


HUGGING_FACE = {"use_vllm": False, "num_generations": 4, "max_completion_length": 16, "temperature": 1.0}
"""`trl:` of a run without a server."""


def write_recipe(folder: Path, **changes: Any) -> Path:
    """A recipe of four steps in `folder`, with its model, data and rewards; a change replaces a whole key or block."""
    make_model(folder / "model", tied=changes.pop("tied", False))
    (folder / "my_rewards.py").write_text(REWARDS)
    for split, rows in {"train": 64, "held-out": 8}.items():
        lines = (json.dumps({"prompt": f"{i}+1=", "answer": str(i + 1)}) for i in range(rows))
        (folder / f"{split}.jsonl").write_text("\n".join(lines))
    blocks = ("Prompt", "Reward", "Algorithm", "Rollout", "Validation")
    recipe = {
        "base_model": str(folder / "model"),
        "tokenizer_type": "PreTrainedTokenizerFast",
        "plugins": [f"grpo_plugin.{block}Plugin" for block in blocks],
        "prompts": {"train": "train.jsonl", "validation": "held-out.jsonl", "answer_key": "answer"},
        "rewards": {"functions": [function("digits", weight=0.5), function("answer_length")]},
        "algorithm": {"name": "grpo"},
        "rollout": {"python": str(VLLM_PYTHON), "max_logp_gap": 0.001},
        "validation": {"before_train": False, "after_train": False},
        "trl": {"use_vllm": True, "num_generations": 4, "max_completion_length": 16, "temperature": 1.0},
        "sequence_len": 256,
        "seed": 1,
        "micro_batch_size": 16,
        "gradient_accumulation_steps": 1,
        "max_steps": 4,
        "num_epochs": 1,
        "learning_rate": 1e-3,
        "optimizer": "adamw_torch",
        "lr_scheduler": "constant",
        "bf16": False,
        "output_dir": str(folder / "out"),
        "logging_steps": 1,
        "save_strategy": "no",
    } | changes
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe, sort_keys=False))
    return path


def function(name: str, **options: Any) -> dict[str, Any]:
    return {"function": f"my_rewards.py:{name}", **options}


class Training:
    """One `axolotl train`; its processes are known by a mark in their environment."""

    def __init__(self, recipe: Path, *words: str, launcher_words: tuple[str, ...] = ("--num-processes=1",)) -> None:
        self.mark = f"GRPO_TEST_MARK={uuid.uuid4()}"
        self.folder = recipe.parent
        self.traces: set[Path] = set()
        self._screen = self.folder / f"screen-{len(list(self.folder.glob('screen-*')))}.txt"
        name, _, value = self.mark.partition("=")
        environ = os.environ | {name: value, "PATH": f"{BIN}:{os.environ['PATH']}", "HF_HUB_OFFLINE": "1"}
        with self._screen.open("w") as screen:
            self.process = subprocess.Popen(
                [str(BIN / "axolotl"), "train", *launcher_words, recipe.name, *words],
                cwd=self.folder,
                env=environ,
                stdout=screen,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def screen(self) -> str:
        return self._screen.read_text()

    def wait(self, seconds: float = 240) -> int:
        deadline = time.monotonic() + seconds
        while self.process.poll() is None:
            self.note_traces()
            if time.monotonic() > deadline:
                self.destroy()
                raise AssertionError(f"still running after {seconds} s:\n{self.screen}")
            time.sleep(0.2)
        return self.process.returncode

    def wait_for(self, text: str, seconds: float = 180) -> None:
        """Return once the screen shows `text`."""
        self._wait_until(lambda: text in self.screen, seconds, f"the screen never showed {text!r}")

    def wait_for_end_of_all(self, seconds: float) -> None:
        """Return once no process of the run is left, whoever its parent is."""
        self._wait_until(lambda: not self.pids(), seconds, "processes were left")

    def pids(self, *words: str) -> list[int]:
        """The run's living processes whose command line has all `words`."""
        return [pid for pid in _living() if _has_mark(pid, self.mark) and all(w in _command(pid) for w in words)]

    def kill(self, *words: str, spare: str = "guard.py") -> None:
        """SIGKILL the processes of the run whose command line has all `words`, and not `spare`."""
        spared = set(self.pids(spare))
        pids = [pid for pid in self.pids(*words) if pid not in spared]
        assert pids, f"no process with {words}"
        for pid in pids:
            os.kill(pid, signal.SIGKILL)

    def note_traces(self) -> None:
        """Remember what the run's processes have outside its folder: shared memory, sockets' and session's folders."""
        pids = self.pids()
        self.traces |= {Path(path) for path in mapped_shared_memory(pids)}
        self.traces |= {folder for pid in pids if (folder := _session_folder(pid))}

    def left(self) -> set[Path]:
        """What is still there of the traces."""
        return {path for path in self.traces if path.exists()}

    def destroy(self) -> None:
        for pid in self.pids():
            os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def _wait_until(self, condition: Callable[[], bool], seconds: float, complaint: str) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            self.note_traces()
            if time.monotonic() > deadline:
                left = {pid: _command(pid) for pid in self.pids()}
                self.destroy()
                raise AssertionError(f"{complaint} within {seconds} s; processes: {left}; screen:\n{self.screen}")
            time.sleep(0.1)


def finish(training: Training, seconds: float = 300) -> str:
    """The screen of a run that has to end well; nothing of it is left."""
    try:
        assert training.wait(seconds) == 0, training.screen
        return training.screen
    finally:
        training.destroy()


def steps_on(screen: str) -> list[list[str]]:
    """The cells of the step lines: step, reward, the two functions, length, KL, entropy, gap, …"""
    return [line.split() for line in screen.splitlines() if re.match(r" +\d+ +-?\d", line)]


def _living() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and _state(entry) != "Z"]


def _state(entry: Path) -> str:
    try:
        return (entry / "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def _has_mark(pid: int, mark: str) -> bool:
    try:
        return mark.encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False


def _session_folder(pid: int) -> Path | None:
    try:
        environ = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return None
    return next((Path(entry.partition("=")[2]) for entry in environ if entry.startswith("GRPO_SESSION=")), None)


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""
