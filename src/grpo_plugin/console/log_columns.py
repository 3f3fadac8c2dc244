"""The screen's line for one logged step: its columns, and how their numbers are written."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

# Metric name → value; a metric that a run does not have (KL without a reference model) is absent or None.
Logs = Mapping[str, float | None]

WIDTH = 110
_REWARD_PREFIX, _REWARD_SUFFIX = "rewards/", "/mean"


@dataclass(frozen=True)
class Column:
    """One right-aligned column: its title, the log key it shows and how a number becomes text."""

    title: str
    key: str
    width: int
    text: Callable[[float], str]

    def cell(self, logs: Logs) -> str:
        value = logs.get(self.key)
        return ("-" if value is None else self.text(value)).rjust(self.width)


def decimal(value: float) -> str:
    """Three decimals; two significant digits beyond ±1000, where decimals say nothing."""
    return f"{value:.3f}" if abs(value) < 1000 else f"{value:.1e}"


def length(value: float) -> str:
    """Mean tokens per completion."""
    return f"{value:.1f}" if value < 1000 else f"{value:.0f}"


def small(value: float) -> str:
    """A quantity that may be tiny: 0.0123, but 1.2e-07."""
    return f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 10 else f"{value:.1e}"


def percent(value: float) -> str:
    """A share: 0.4%, 12%."""
    return f"{value:.{1 if 0 < value < 0.0995 else 0}%}"


def seconds(value: float) -> str:
    """0.03s, 12.3s, 123s."""
    return f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f}s"


def clock(value: float | None) -> str:
    """Seconds as 4:05 or 1:02:03; -:-- when unknown."""
    if value is None:
        return "-:--"
    minutes, rest = divmod(math.floor(value + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


_STEP = [
    Column("step", "step", 5, lambda value: f"{value:.0f}"),
    Column("reward", "reward", 6, decimal),
]
_POLICY = [
    Column("length", "completions/mean_length", 6, length),
    Column("KL", "kl", 7, small),
    Column("entropy", "entropy", 7, decimal),
    Column("logp gap", "rollout/logp_gap", 8, small),
    Column("cut", "completions/clipped_ratio", 5, percent),
]
_EPISODE = [
    Column("turns", "episode/turns", 5, lambda value: f"{value:.2f}"),
    Column("calls", "episode/tool_calls", 5, lambda value: f"{value:.2f}"),
]
_SECONDS = [
    Column("generate", "time/generate", 8, seconds),
    Column("score", "time/score", 5, seconds),
    Column("train", "time/train", 5, seconds),
    Column("sync", "time/sync", 5, seconds),
]
_ETA = [Column("ETA", "eta", 7, clock)]


def reward_functions(logs: Logs) -> list[str]:
    """Names of the reward functions in TRL's logs, in the order of the recipe."""
    return [
        key.removeprefix(_REWARD_PREFIX).removesuffix(_REWARD_SUFFIX)
        for key in logs
        if key.startswith(_REWARD_PREFIX) and key.endswith(_REWARD_SUFFIX)
    ]


def layout(functions: Sequence[str], width: int = WIDTH, eta: bool = False, episodes: bool = False) -> list[Column]:
    """The columns that fit `width` characters; left out are first the last reward functions, then the last columns.

    Args:
        episodes: with turns and tool calls.
    """
    scores = [
        Column(_shortened(name), f"{_REWARD_PREFIX}{name}{_REWARD_SUFFIX}", max(len(_shortened(name)), 6), decimal)
        for name in functions
    ]
    tail = (_EPISODE if episodes else []) + _POLICY + _SECONDS + (_ETA if eta else [])
    while len(scores) > 1 and _characters(_STEP + scores + tail) > width:
        scores.pop()
    columns = _STEP + scores + tail
    while len(columns) > 1 and _characters(columns) > width:
        columns.pop()
    return columns


def header(columns: Sequence[Column]) -> str:
    return " ".join(column.title.rjust(column.width) for column in columns)


def line(columns: Sequence[Column], logs: Logs) -> str:
    return " ".join(column.cell(logs) for column in columns)


def without_signal(logs: Logs) -> str | None:
    """A sentence where nothing was learnt from the rewards of a step."""
    if logs.get("advantages/zero") != 1.0:
        return None
    alike = logs.get("groups/mixed") == 0.0
    return (
        f"{'every group scored alike' if alike else 'no completion has an advantage'}: nothing was learnt from rewards"
    )


def _shortened(name: str, limit: int = 12) -> str:
    return name if len(name) <= limit else f"{name[: limit - 1]}…"


def _characters(columns: Sequence[Column]) -> int:
    return sum(column.width for column in columns) + len(columns) - 1
