"""The alarms by kind: each is a function of the history and its threshold."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean, variance
from typing import Any

from grpo_plugin.console.alarms.history import History

SMALLEST_GAP = 1e-4  # nats; below, a growing gap is rounding
SHORTEST_STEP = 1.0  # seconds; below, nobody waits
PHASES = ("generate", "score", "train", "sync", "canary")


@dataclass(frozen=True)
class Finding:
    """What an alarm says: the figure and the likely remedy; `compared` are metrics whose new level is now known."""

    figure: str
    remedy: str
    compared: tuple[str, ...] = ()


Kind = Callable[[History, Any], Finding | None]


def entropy(history: History, share: float) -> Finding | None:
    first, now = history.at_first("entropy"), history.now("entropy")
    if first is None or now is None or now >= share * first:
        return None
    return Finding(
        f"entropy {now:.3g} nats, {now / first:.0%} of the {first:.3g} before: the policy has collapsed",
        "raise algorithm.clip_high, lower learning_rate, keep trl.temperature at 1",
        ("entropy",),
    )


def kl(history: History, limit: float) -> Finding | None:
    for name, policy in (("kl", "the reference model"), ("kl/old", "the policy that sampled")):
        now = history.now(name)
        if now is not None and now > limit:
            return Finding(
                f"KL to {policy} {now:.3g} nats per token, over {limit:g}",
                "lower learning_rate, raise algorithm.kl_coef"
                if name == "kl"
                else "lower learning_rate, or take fewer optimizer steps per rollout batch",
            )
    return None


def zero_gradient(history: History, steps: int) -> Finding | None:
    values = history.values("grad_norm", steps)
    if values is None or any(values) or history.last("grad_norm") is None:
        return None
    return Finding(
        f"the gradient was 0 in the last {steps} logged steps: nothing is learnt",
        "see groups/mixed and advantages/zero; other prompts, more trl.num_generations, a finer reward",
    )


def reward_stuck(history: History, steps: int) -> Finding | None:
    values, solved = history.values("reward", steps), history.now("groups/all_right")
    if values is None or (solved is not None and solved > 0.9):
        return None
    early, late = values[: steps // 2], values[steps // 2 :]
    noise = math.sqrt(variance(early) / len(early) + variance(late) / len(late))
    before, now = fmean(early), fmean(late)
    if now - before > 2 * noise:
        return None
    return Finding(
        f"reward {now:.3f} after {before:.3f}: no rise over {steps} logged steps",
        "read completions in the report; check the reward on gold answers (axolotl grpo check-rewards), raise "
        "learning_rate, or take easier prompts",
    )


def groups_mixed(history: History, share: float) -> Finding | None:
    mixed, right = history.now("groups/mixed"), history.now("groups/all_right") or 0.0
    if mixed is None or mixed >= share:
        return None
    easy = right > 0.5
    return Finding(
        f"only {mixed:.0%} of the groups have rewards that differ; {right:.0%} are all right",
        "the prompts are too easy: take harder ones, or stop"
        if easy
        else "easier prompts, more trl.num_generations, a finer reward, or algorithm.dynamic_sampling: true",
    )


def truncated(history: History, rise: float) -> Finding | None:
    name = "completions/clipped_ratio"
    first, now = history.at_first(name), history.now(name)
    if first is None or now is None or now - first < rise:
        return None
    return Finding(
        f"{now:.0%} of the completions are cut off, after {first:.0%} before",
        "raise trl.max_completion_length, or set algorithm.overlong: soft or mask",
        (name,),
    )


def length(history: History, factor: float) -> Finding | None:
    name = "completions/mean_length"
    first, now = history.at_first(name), history.now(name)
    if not first or now is None or first / factor < now < first * factor:
        return None
    grown = now > first
    return Finding(
        f"mean length {now:.0f} tokens, after {first:.0f} before",
        "a reward may favour long answers: algorithm.overlong: soft, or a reward for length"
        if grown
        else "a reward may favour short or empty answers: read completions in the report",
        (name,),
    )


def logp_gap(history: History, factor: float) -> Finding | None:
    name = "rollout/logp_gap"
    first, now = history.at_first(name), history.now(name)
    if first is None or now is None or now < max(SMALLEST_GAP, factor * first):
        return None
    return Finding(
        f"vLLM and the trainer differ by {now:.2g} nats per token, after {first:.2g} before",
        "check the weight sync and quantisation of the server; algorithm.correction weighs what is left",
        (name,),
    )


def reward_errors(history: History, share: float) -> Finding | None:
    for name in history.names("rewards/", "/failed"):
        value = history.last(name)
        if value is not None and value > share:
            function = name.removeprefix("rewards/").removesuffix("/failed")
            return Finding(
                f"the reward function {function} could not score {value:.1%} of the completions",
                "read debug.log; raise rewards.timeout, or fix the function",
            )
    return None


def idle(history: History, share: float) -> Finding | None:
    steps = history.steps_per_row()
    seconds = {phase: (history.now(f"time/{phase}") or 0.0) / steps for phase in PHASES}
    total = sum(seconds.values())
    if total < SHORTEST_STEP or not seconds["sync"]:  # without a sync there is no vLLM
        return None
    if seconds["generate"] > share * total:
        return Finding(
            f"the trainer waits for vLLM for {seconds['generate'] / total:.0%} of a step of {total:.0f} s",
            "more GPUs for vLLM (rollout.gpus), rollout.lookahead: 1, or a larger vllm.gpu_memory_utilization",
        )
    if seconds["train"] > share * total:
        return Finding(
            f"vLLM waits for the trainer for {seconds['train'] / total:.0%} of a step of {total:.0f} s",
            "fewer GPUs for vLLM, a larger micro_batch_size, or rollout.lookahead: 1",
        )
    return None


# key of `alarms:` -> the alarm
KINDS: dict[str, Kind] = {
    "entropy": entropy,
    "kl": kl,
    "zero_gradient": zero_gradient,
    "reward_stuck": reward_stuck,
    "groups_mixed": groups_mixed,
    "truncated": truncated,
    "length": length,
    "logp_gap": logp_gap,
    "reward_errors": reward_errors,
    "idle": idle,
}
