"""Supervised training on demonstrations, of which some work the problem out and some estimate it.

The model learns both ways and uses either at random; GRPO then reinforces the one that is rewarded.
"""

import random
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase, Qwen2ForCausalLM

from grpo_plugin.environments.rendering import ChatRenderer
from grpo_plugin.quickstart.problems import Problem
from grpo_plugin.quickstart.tasks import Task

BATCH = 64
LEARNING_RATE, BETAS = 3e-3, (0.9, 0.95)
WARMUP_STEPS = 20
IGNORED = -100  # transformers' label for a token that is not learnt
MAX_COMPLETION = 32


def teach(
    model: Qwen2ForCausalLM,
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    problems: Sequence[Problem],
    steps: int,
    worked_share: float,
    seed: int,
    progress: Callable[[float], None],
) -> None:
    """Train `model` in place; `progress` is called with the share that is done, in (0, 1]."""
    rng, demonstrations = random.Random(seed), Demonstrations(task, tokenizer)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, betas=BETAS)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _warm_then_linear(step, steps))
    model.train()
    for step in range(steps):
        shown = [
            (problem.question, problem.worked() if rng.random() < worked_share else problem.estimated())
            for problem in rng.choices(problems, k=BATCH)
        ]
        loss = model(**demonstrations.batch(shown)).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        progress((step + 1) / steps)
    model.eval()


def _warm_then_linear(step: int, steps: int) -> float:
    return min(1.0, (step + 1) / WARMUP_STEPS) * (1 - step / steps)


class Demonstrations:
    """Token ids of problems that are answered one way or the other, as they stand in episodes of training."""

    def __init__(self, task: Task, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer, self._schemas = tokenizer, task.schemas
        self._renderer = ChatRenderer(tokenizer, [tokenizer.eos_token_id])
        self.prompt = cache(self._prompt)
        self._result = cache(self._rendered_result)

    def batch(self, shown: Sequence[tuple[str, Sequence[str]]]) -> dict[str, Tensor]:
        """Token ids and labels (B, T), padded on the right; only what the model is to write is learnt.

        Args:
            shown: questions, and how each is answered (`Problem.worked`).
        """
        rows = [self._row(question, parts) for question, parts in shown]
        ids = torch.full((len(rows), max(map(len, rows))), self._tokenizer.pad_token_id)
        labels = torch.full(ids.shape, IGNORED)
        for place, row in enumerate(rows):
            ids[place, : len(row)] = torch.tensor([token for token, _ in row])
            labels[place, : len(row)] = torch.tensor([token if learnt else IGNORED for token, learnt in row])
        return {"input_ids": ids, "attention_mask": (ids != self._tokenizer.pad_token_id).long(), "labels": labels}

    def _row(self, question: str, parts: Sequence[str]) -> list[tuple[int, bool]]:
        """Tokens, and whether each is learnt."""
        row = [(token, False) for token in self.prompt(question)]
        for place, part in enumerate(parts):
            written = place % 2 == 0
            ids = self._written(part) if written else self._result(part)
            row += [(token, written) for token in ids]
        return row

    def _written(self, text: str) -> list[int]:
        return [*self._tokenizer(text)["input_ids"], self._tokenizer.eos_token_id]

    def _prompt(self, question: str) -> list[int]:
        """The question as a chat that waits for its answer."""
        return self._renderer.prompt([{"role": "user", "content": question}], self._schemas).ids

    def _rendered_result(self, text: str) -> list[int]:
        name = self._schemas[0]["function"]["name"]
        return self._renderer.results([{"role": "tool", "name": name, "content": text}], self._tokenizer.eos_token_id)


@torch.no_grad()
def measure(
    model: Any, tokenizer: PreTrainedTokenizerBase, task: Task, problems: Sequence[Problem], *, sample: bool
) -> float:
    """Accuracy over `problems` of a task without tools, one completion each: sampled at temperature 1, or greedy."""
    from rewards.arithmetic import accuracy

    prompt_of = Demonstrations(task, tokenizer).prompt
    # Two-digit operands make all prompts equally long, so nothing is padded.
    prompts = torch.tensor([prompt_of(problem.question) for problem in problems])
    sampling: dict[str, Any] = {"do_sample": True, "top_k": 0} if sample else {"do_sample": False}
    ids = model.generate(prompts, attention_mask=torch.ones_like(prompts), max_new_tokens=MAX_COMPLETION, **sampling)
    texts = tokenizer.batch_decode(ids[:, prompts.size(1) :], skip_special_tokens=True)
    scores = accuracy(texts, [problem.answer for problem in problems])
    return sum(scores) / len(scores)
