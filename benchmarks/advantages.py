"""Advantages and bookkeeping of one step: 4,096 completions in groups of 8, up to 512 tokens each.

    python benchmarks/advantages.py [--rounds 21]

Bookkeeping is what every step does besides: which groups carry a signal and which dynamic sampling keeps, and the soft
overlong penalty. The last line is the slowest: a KL in the reward, spread over the tokens. Medians of the
processor time of one thread, which other work on the machine does not stretch.
"""

import argparse
import statistics
import time

import torch
from torch import Tensor

from grpo_plugin.algorithms import advantages, groups, overlong

COMPLETIONS, GROUP, TOKENS, FUNCTIONS = 4096, 8, 512, 3


def make_step() -> dict[str, Tensor]:
    """Rewards of 0 or 1, one in a hundred unscorable; lengths up to the longest allowed."""
    generator = torch.Generator().manual_seed(0)
    rewards = torch.randint(0, 2, (COMPLETIONS,), generator=generator).float()
    rewards[torch.rand(COMPLETIONS, generator=generator) < 0.01] = torch.nan
    lengths = torch.randint(1, TOKENS + 1, (COMPLETIONS,), generator=generator)
    return {
        "rewards": rewards,
        "baselines": torch.zeros(COMPLETIONS),
        "rewards_per_function": torch.rand(COMPLETIONS, FUNCTIONS, generator=generator),
        "logps": -torch.rand(COMPLETIONS, TOKENS, generator=generator),
        "ref_logps": -torch.rand(COMPLETIONS, TOKENS, generator=generator),
        "lengths": lengths,
        "mask": torch.arange(TOKENS) < lengths.unsqueeze(1),
    }


def bookkeeping(step: dict[str, Tensor]) -> Tensor:
    """The soft overlong penalties (B,), after the figures that dynamic sampling and the logs need."""
    groups.signal(step["rewards"], GROUP)
    groups.informative(step["rewards"], GROUP)
    penalties = [overlong.soft_penalty(length, TOKENS, TOKENS // 5) for length in step["lengths"].tolist()]
    return torch.tensor(penalties)


def milliseconds(name: str, step: dict[str, Tensor], kl_coef: float = 0.0) -> float:
    start = time.process_time()
    penalties = bookkeeping(step)
    extra = {key: step[key] for key in ("baselines", "rewards_per_function") if key in advantages.inputs(name)}
    extra |= {key: step[key] for key in ("logps", "ref_logps") if kl_coef}
    advantages.compute(
        name,
        rewards=step["rewards"],
        group_size=GROUP,
        mask=step["mask"],
        overlong=penalties,
        kl_coef=kl_coef,
        **extra,  # type: ignore[arg-type]
    )
    return 1000 * (time.process_time() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=21)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    step = make_step()
    for name, kl_coef in [*((name, 0.0) for name in advantages.ESTIMATORS), ("reinforce_plus_plus", 0.1)]:
        milliseconds(name, step, kl_coef)
        median = statistics.median(milliseconds(name, step, kl_coef) for _ in range(rounds))
        print(f"{name + (', KL in the reward' if kl_coef else ''):40} {median:6.1f} ms (at most 50)")


if __name__ == "__main__":
    main()
