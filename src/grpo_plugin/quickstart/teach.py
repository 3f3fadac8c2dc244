"""Supervised training on demonstrations, of which some compute the sum step by step and some estimate it.

The model learns both ways and uses either at random; GRPO then reinforces the one that is rewarded.
"""

import random
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase, Qwen2ForCausalLM

from grpo_plugin.quickstart.additions import Addition
from rewards.arithmetic import accuracy

BATCH = 64
LEARNING_RATE, BETAS = 3e-3, (0.9, 0.95)
WARMUP_STEPS = 20
IGNORED = -100  # transformers' label for a token that is not learnt
MAX_COMPLETION = 32


def teach(
    model: Qwen2ForCausalLM,
    tokenizer: PreTrainedTokenizerBase,
    problems: Sequence[Addition],
    steps: int,
    worked_share: float,
    seed: int,
    progress: Callable[[float], None],
) -> None:
    """Train `model` in place; `progress` is called with the share that is done, in (0, 1]."""
    rng = random.Random(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, betas=BETAS)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _warm_then_linear(step, steps))
    model.train()
    for step in range(steps):
        shown = [_demonstration(problem, worked_share, rng) for problem in rng.choices(problems, k=BATCH)]
        loss = model(**_batch(tokenizer, shown)).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        progress((step + 1) / steps)
    model.eval()


def _warm_then_linear(step: int, steps: int) -> float:
    return min(1.0, (step + 1) / WARMUP_STEPS) * (1 - step / steps)


def _demonstration(problem: Addition, worked_share: float, rng: random.Random) -> tuple[str, str]:
    """A question and one way of answering it."""
    return problem.question, problem.worked() if rng.random() < worked_share else problem.estimated()


def prompt_ids(tokenizer: PreTrainedTokenizerBase, question: str) -> list[int]:
    """The question as a chat that waits for its answer."""
    messages = [{"role": "user", "content": question}]
    text = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def _batch(tokenizer: PreTrainedTokenizerBase, shown: Sequence[tuple[str, str]]) -> dict[str, Tensor]:
    """Token ids and labels (B, T), padded on the right; only the answers and their end are learnt."""
    prompts = [prompt_ids(tokenizer, question) for question, _ in shown]
    answers = [[*tokenizer(answer)["input_ids"], tokenizer.eos_token_id] for _, answer in shown]
    length = max(len(prompt) + len(answer) for prompt, answer in zip(prompts, answers, strict=True))
    ids = torch.full((len(shown), length), tokenizer.pad_token_id)
    labels = torch.full((len(shown), length), IGNORED)
    for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        end = len(prompt) + len(answer)
        ids[row, :end] = torch.tensor(prompt + answer)
        labels[row, len(prompt) : end] = torch.tensor(answer)
    return {"input_ids": ids, "attention_mask": (ids != tokenizer.pad_token_id).long(), "labels": labels}


@torch.no_grad()
def measure(model: Any, tokenizer: PreTrainedTokenizerBase, problems: Sequence[Addition], *, sample: bool) -> float:
    """Accuracy over `problems`, one completion each: sampled at temperature 1, or greedy."""
    # Two-digit operands make all prompts equally long, so nothing is padded.
    prompts = torch.tensor([prompt_ids(tokenizer, problem.question) for problem in problems])
    sampling: dict[str, Any] = {"do_sample": True, "top_k": 0} if sample else {"do_sample": False}
    ids = model.generate(prompts, attention_mask=torch.ones_like(prompts), max_new_tokens=MAX_COMPLETION, **sampling)
    texts = tokenizer.batch_decode(ids[:, prompts.size(1) :], skip_special_tokens=True)
    scores = accuracy(texts, [problem.answer for problem in problems])
    return sum(scores) / len(scores)
