"""Folders of runs as training leaves them, made in a second: metrics, evaluations, alarms, completions."""

import json
import math
import random
from pathlib import Path
from typing import Any

from grpo_plugin.console import run_facts
from grpo_plugin.console.json_lines import JsonLines
from grpo_plugin.rollout.generation_log import GenerationLog, Generations
from grpo_plugin.validation.accuracy import Accuracy, Evaluation
from grpo_plugin.validation.evaluation_log import EvaluationLog

PLANTED = "the heron stands in the Reeds"
WORDS = ("let us", "add both", "numbers", "carry", "the one", "so that", "the sum", "is therefore", "the answer")


def metrics_row(step: int, of: int) -> dict[str, Any]:
    """Every metric that has a chart."""
    done = step / of
    return {
        "loss": 0.01 * math.sin(step),
        "grad_norm": 0.5 + 0.1 * math.cos(step),
        "learning_rate": 1e-6 * (1 - done),
        "reward": 0.2 + 0.6 * done + 0.03 * math.sin(5 * step),
        "reward_std": 0.4,
        "rewards/accuracy/mean": 0.2 + 0.5 * done,
        "rewards/accuracy/std": 0.45,
        "rewards/layout/mean": min(1.0, 0.5 + done),
        "kl": 0.001 * step,
        "kl/old": 0.0005,
        "entropy": 0.8 - 0.5 * done,
        "clip/low": 0.01,
        "clip/high": 0.02 + 0.01 * done,
        "ratio/mean": 1.0,
        "ratio/max": 2.0,
        "rollout/logp_gap": 1e-6,
        "rollout/logp_gap_max": 1e-4,
        "completions/mean_length": 300 + 200 * done,
        "completions/min_length": 20.0,
        "completions/max_length": 1024.0,
        "completions/clipped_ratio": 0.05 + 0.1 * done,
        "episode/turns": 1.0 + done,
        "episode/tool_calls": done,
        "episode/tool_failures": 0.1,
        "episode/tool_failures/malformed": 0.1,
        "groups/mixed": 0.6,
        "groups/all_right": 0.3 * done,
        "groups/all_wrong": 0.4 - 0.3 * done,
        "advantages/zero": 0.4,
        "dynamic_sampling/accept_rate": 0.6,
        "num_tokens": 50_000.0 * step,
        "time/generate": 6.0,
        "time/score": 0.4,
        "time/train": 4.0,
        "time/sync": 0.3,
        "a/metric_of_its_own": 3.0,
    }


def make_run(folder: Path, *, steps: int = 40, per_step: int = 64, words: int = 40, tokens: bool = False) -> Path:
    """A run of `steps` with `per_step` completions each, four of a prompt; one of the last step has PLANTED.

    Without `per_step`, no completion is kept.
    """
    folder.mkdir(parents=True)
    metrics = JsonLines(folder / "metrics.jsonl")
    rows = [metrics_row(step, steps) | {"step": step, "time": 1.7e9 + 11.0 * step} for step in range(1, steps + 1)]
    metrics.path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    evaluations = EvaluationLog(folder / "evaluations.jsonl")
    for step, share in ((0, 0.25), (steps // 2, 0.5), (steps, 0.75)):
        errors = {"sampled": 0.05, "greedy": 0.05, "pass@4": 0.03}
        accuracy = Accuracy(100, share, share, {4: 0.9}, stderr=errors)
        evaluations.write([Evaluation(step, "accuracy", accuracy, {}, {"accuracy": share})])
    alarm = {"step": 30, "kind": "entropy", "figure": "entropy 0.02 nats", "remedy": "raise algorithm.clip_high"}
    JsonLines(folder / "alarms.jsonl").append(alarm)
    facts = {
        "name": folder.name,
        "recipe": {"base_model": "user/model", "learning_rate": 1e-6, "trl": {"num_generations": 4}},
        "versions": {"trl": "1.9.0"},
        "machine": {"cpu cores": 2},
        "started": "2026-01-01T00:00:00+00:00",
    }
    (folder / run_facts.FILE).write_text(json.dumps(facts))
    if not per_step:
        return folder
    log, chance = GenerationLog(folder / "generations"), random.Random(0)
    GenerationLog(folder / "validation").write(0, batch(chance, 8, words, tokens=False), "validation")
    for step in range(1, steps + 1):
        log.write(step, batch(chance, per_step, words, tokens=tokens, planted=step == steps))
    return folder


def batch(chance: random.Random, size: int, words: int, *, tokens: bool, planted: bool = False) -> Generations:
    texts = [" ".join(chance.choices(WORDS, k=words)) for _ in range(size)]
    if planted:
        texts[-1] += f" <b>{PLANTED}</b></script>"
    rewards = [float(chance.random() < 0.5) for _ in range(size)]
    pieces = [[f" {word}" for word in text.split()] for text in texts]
    return Generations(
        prompts=[f"What is {place // 4 % 32} + 38?" for place in range(size)],
        completions=texts,
        rewards=rewards,
        functions={"accuracy": rewards, "layout": [1.0] * size},
        finish_reasons=["length" if chance.random() < 0.1 else "stop" for _ in range(size)],
        temperature=1.0,
        policy_version=1,
        advantages=[reward - 0.5 for reward in rewards],
        answers=["85"] * size,
        tokens=[words] * size,
        per_token={
            "token_ids": [list(range(len(row))) for row in pieces],
            "token_texts": pieces,
            "token_logps": [[-chance.random() * 3 for _ in row] for row in pieces],
            "token_advantages": [[reward - 0.5] * len(row) for reward, row in zip(rewards, pieces, strict=True)],
        }
        if tokens
        else {},
    )
