"""The charts of a report: which metrics each shows, and how."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from grpo_plugin.console.report.series import PHASES, TOKENS_PER_SECOND


@dataclass(frozen=True)
class Chart:
    """`metrics` are names or patterns; `band` is (lower, upper) of the first; a chart without figures is left out."""

    title: str
    metrics: Sequence[str]
    unit: str = ""
    band: Sequence[str] = ()
    log: bool = False
    stacked: bool = False
    share: bool = False
    names: list[str] = field(default_factory=list)


CHARTS = (
    Chart("Reward", ("reward", "rewards/*/mean")),
    Chart("KL", ("kl", "kl/old"), "nats per token"),
    Chart("Entropy", ("entropy",), "nats"),
    Chart("Clipped tokens", ("clip/*",), "share", share=True),
    Chart("Log-probability gap", ("rollout/logp_gap", "rollout/logp_gap_max", "sampler/logp_gap"), "nats", log=True),
    Chart(
        "Length",
        ("completions/mean_length", "completions/mean_terminated_length"),
        "tokens",
        band=("completions/min_length", "completions/max_length"),
    ),
    Chart("Truncated", ("completions/clipped_ratio",), "share", share=True),
    Chart("Episodes", ("episode/turns", "episode/tool_calls"), "per episode"),
    Chart("Failed tool calls", ("episode/tool_failures", "episode/tool_failures/*"), "share", share=True),
    Chart("Groups", ("groups/*", "advantages/zero"), "share", share=True),
    Chart("Accept rate of dynamic sampling", ("dynamic_sampling/accept_rate",), "share", share=True),
    Chart(
        "Seconds per phase",
        (*PHASES, "time/*"),
        "seconds",
        stacked=True,
    ),
    Chart("Tokens per second", (TOKENS_PER_SECOND,), "tokens per second"),
    Chart("Gradient norm", ("grad_norm",)),
    Chart("Loss", ("loss",)),
    Chart("Learning rate", ("learning_rate",)),
    Chart("Ratio", ("ratio/*", "sampler/weight")),
    Chart("Spread of rewards", ("reward_std", "rewards/*/std")),
)


def charts(metrics: Iterable[str]) -> list[dict[str, Any]]:
    """The charts for the metrics that are there; a metric that no chart names has one of its own, `more` of them."""
    known = list(metrics)
    found, shown = [], set()
    for chart in CHARTS:
        matching = [name for pattern in chart.metrics for name in known if fnmatchcase(name, pattern)]
        names = list(dict.fromkeys(matching))
        shown |= {*names, *chart.band}
        if names:
            found.append(asdict(chart) | {"names": names, "more": False})
    return found + [
        asdict(Chart(name, (name,))) | {"names": [name], "more": True} for name in known if name not in shown
    ]
