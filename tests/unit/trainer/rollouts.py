"""Rollouts made by hand, a tiny policy, and the parts of a training step on it."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from accelerate.utils import DistributedType
from transformers import Qwen2Config, Qwen2ForCausalLM

from grpo_plugin.algorithms.settings import Algorithm, of_recipe
from grpo_plugin.compat.packed_attention import install
from grpo_plugin.config.algorithm import AlgorithmConfig
from grpo_plugin.trainer.kl_coefficient import KlCoefficient
from grpo_plugin.trainer.loss import FusedLoss, PolicyLoss
from grpo_plugin.trainer.metrics import Metrics
from grpo_plugin.trainer.micro_batches import BatchSize
from grpo_plugin.trainer.policy import Policy
from grpo_plugin.trainer.rollout import Rollout
from grpo_plugin.trainer.sample_builder import SampleBuilder
from grpo_plugin.trainer.training_sample import MicroBatch

LENGTHS = [3, 9, 1, 5, 7, 2, 4, 6]
REWARDS = [1.0, 0.0, 0.5, 0.0, 1.0, 1.0, 0.2, 0.9]
MAX_LENGTH = 10  # of a completion, in tokens


def rollout(reward: float = 0.0, tokens: int = 3, prompt: int = 2, row: int = 0, **changes: Any) -> Rollout:
    fields: dict[str, Any] = {
        "row": row,
        "prompt_ids": list(range(1, prompt + 1)),
        "completion_ids": list(range(10, 10 + tokens)),
        "sampler_logps": None,
        "finish_reason": "stop",
        "policy_version": 0,
        "scores": (reward,),
        "metrics": {"accuracy": reward},
        "reward": reward,
    }
    return Rollout(**(fields | changes))


def rollouts(**changes: Callable[[Rollout], Any]) -> list[Rollout]:
    """Two groups of four; a change is a field and what it becomes."""
    made = [
        rollout(r, tokens=n, prompt=2 + i % 3, row=i) for i, (r, n) in enumerate(zip(REWARDS, LENGTHS, strict=True))
    ]
    for one in made:
        for name, value in changes.items():
            setattr(one, name, value(one))
    return made


def make_model(seed: int = 0) -> Qwen2ForCausalLM:
    torch.manual_seed(seed)
    config = Qwen2Config(
        vocab_size=40,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=64,
        initializer_range=0.5,
    )
    model = Qwen2ForCausalLM(config).double()
    install(model)
    return model


def one_process(rank: int = 0, ranks: int = 1, local_rank: int | None = None) -> Any:
    """What our parts read of an Accelerator, without any process group; all ranks are on one machine by default."""
    return SimpleNamespace(
        num_processes=ranks,
        process_index=rank,
        is_main_process=rank == 0,
        is_local_main_process=(rank if local_rank is None else local_rank) == 0,
        wait_for_everyone=lambda: None,
        device="cpu",
        distributed_type=DistributedType.NO,
        unwrap_model=lambda model: model,
        autocast=nullcontext,
    )


@dataclass
class Step:
    """The parts of a training step over a policy, as `TrainerSetup` builds them."""

    algorithm: Algorithm
    policy: Policy
    metrics: Metrics
    kl_coef: KlCoefficient
    builder: SampleBuilder
    loss: PolicyLoss

    def micro_batches(
        self, given: list[Rollout], *, steps: int = 1, accumulation_steps: int = 1, baselines: list[float] | None = None
    ) -> list[list[MicroBatch]]:
        return self.builder.micro_batches(self.builder.build(given, baselines), steps, accumulation_steps)


def make_step(
    block: dict[str, Any],
    *,
    accelerator: Any = None,
    completions: int = 8,
    reused: bool = False,
    model: Any = None,
    fused: Callable[[Algorithm, Policy], FusedLoss] | None = None,
) -> Step:
    """The parts for an `algorithm:` block, with groups of four and `completions` to a micro-batch."""
    algorithm = of_recipe(AlgorithmConfig.parse("algorithm", block), {})
    model = model or make_model()
    policy = Policy(
        model,
        make_model(seed=1).to(next(model.parameters()).dtype),
        accelerator or one_process(),
        temperature=1.0,
        batch_size=BatchSize(completions, algorithm.config.tokens_per_micro_batch),
    )
    metrics, kl_coef = Metrics(), KlCoefficient(algorithm)
    builder = SampleBuilder(
        policy,
        algorithm,
        kl_coef,
        metrics,
        group_size=4,
        reward_weights=[1.0],
        max_completion_length=MAX_LENGTH,
        reused=reused,
    )
    loss = PolicyLoss(
        policy,
        algorithm,
        kl_coef,
        metrics,
        correction=algorithm.correction(False),
        max_completion_length=MAX_LENGTH,
        fused=fused(algorithm, policy) if fused else None,
    )
    return Step(algorithm, policy, metrics, kl_coef, builder, loss)
