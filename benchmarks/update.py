"""The update, forward and backward of the loss, on ragged sequences: TRL's padded path, ours, and a bare packed pass.

    python benchmarks/update.py [--pairs 3] [--no-trl] [--wall]

8 sequences (prompts of 40–120 tokens, completions of 32–512), vocabulary 151,936, 4 layers of 256. All paths run one
after the other in each round, and ratios are medians over the rounds. Times are processor time of one thread, which
other work on the machine does not stretch; on a machine of one's own, `--wall` takes the clock and all threads. Memory
is the peak of resident memory over that of the loaded model, each path in a process of its own.
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import Qwen2Config, Qwen2ForCausalLM

from grpo_plugin.algorithms.forward import completion_logprobs, hidden_states
from grpo_plugin.algorithms.logprobs import CHUNK_ELEMENTS
from grpo_plugin.algorithms.losses import policy_loss
from grpo_plugin.algorithms.packing import pack
from grpo_plugin.compat.packed_attention import install

VOCABULARY = 151_936
Batch = dict[str, Tensor]


def make_model() -> Qwen2ForCausalLM:
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=VOCABULARY,
        hidden_size=256,
        intermediate_size=1024,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
    )
    return Qwen2ForCausalLM(config).train()


def make_batch() -> Batch:
    """Prompts padded on the left, completions on the right, as TRL holds them."""
    generator = torch.Generator().manual_seed(0)
    prompts, completions = torch.linspace(40, 120, 8).long(), torch.linspace(32, 512, 8).long()
    prompts = prompts[torch.randperm(8, generator=generator)]
    width, longest = int(prompts.max()), int(completions.max())
    return {
        "prompt_ids": torch.randint(0, VOCABULARY, (8, width), generator=generator),
        "prompt_mask": (torch.arange(width) >= width - prompts.unsqueeze(1)).long(),
        "completion_ids": torch.randint(0, VOCABULARY, (8, longest), generator=generator),
        "completion_mask": (torch.arange(longest) < completions.unsqueeze(1)).long(),
        "advantages": torch.randn(8, generator=generator),
        "num_items_in_batch": completions.sum(),
    }


def trl_update(model: Qwen2ForCausalLM, batch: Batch) -> float:
    """`GRPOTrainer._compute_loss` (loss type dapo) on a stand-in that has what that method reads."""
    from trl.trainer.grpo_trainer import GRPOTrainer

    def logps_and_entropies(*args: Any, **kwargs: Any) -> Any:
        return GRPOTrainer._get_per_token_logps_and_entropies.__wrapped__(trainer, *args, **kwargs)

    arguments = SimpleNamespace(delta=None, use_bias_correction_kl=False)
    trainer: Any = SimpleNamespace(
        args=arguments,
        model=model,
        model_kwarg_keys={"logits_to_keep"},
        temperature=1.0,
        accelerator=SimpleNamespace(num_processes=1, gather=lambda x: x, reduce=lambda x, reduction: x),
        aux_loss_enabled=False,
        _entropy_bonus_enabled=False,
        top_entropy_quantile=1.0,
        off_policy_mask_threshold=None,
        importance_sampling_level="token",
        loss_type="dapo",
        beta=0.0,
        epsilon_low=0.2,
        epsilon_high=0.28,
        use_vllm=False,
        current_gradient_accumulation_steps=1,
        _metrics=defaultdict(lambda: defaultdict(list)),
        _get_per_token_logps_and_entropies=logps_and_entropies,
    )
    loss = GRPOTrainer._compute_loss(trainer, model, batch)
    loss.backward()
    return loss.item()


def packed_update(model: Qwen2ForCausalLM, batch: Batch) -> float:
    """Ours, with entropies and metrics as the trainer logs them."""
    packed = pack(*(batch[name] for name in ("prompt_ids", "prompt_mask", "completion_ids", "completion_mask")))
    logps, _ = completion_logprobs(model, packed)
    mask = batch["completion_mask"].bool()
    loss, _ = policy_loss(logps, None, batch["advantages"], mask, kind="ppo", clip_low=0.2, clip_high=0.28)
    loss.backward()
    return loss.item()


def bare_update(model: Qwen2ForCausalLM, batch: Batch) -> float:
    """Cross-entropy of the same packed tokens, each chunk's logits used forward and backward at once."""
    packed = pack(*(batch[name] for name in ("prompt_ids", "prompt_mask", "completion_ids", "completion_mask")))
    states = hidden_states(model, packed)[packed.sources]
    cut = states.detach().requires_grad_()
    size, total = CHUNK_ELEMENTS // VOCABULARY, 0.0
    for start in range(0, len(cut), size):
        logits = cut[start : start + size] @ model.lm_head.weight.T
        loss = cross_entropy(logits, packed.targets[start : start + size], reduction="sum") / len(cut)
        loss.backward()
        total += loss.item()
    states.backward(cut.grad)
    return total


PATHS: dict[str, Callable[[Qwen2ForCausalLM, Batch], float]] = {
    "trl": trl_update,
    "packed": packed_update,
    "bare": bare_update,
}


def times(paths: list[str], pairs: int, clock: Callable[[], float]) -> list[dict[str, float]]:
    """Seconds of each path, round by round, after one run of the quick ones to warm up."""
    models, batch = {packed: make_model() for packed in (False, True)}, make_batch()
    install(models[True])

    def timed(path: str) -> float:
        model = models[path != "trl"]
        model.zero_grad(set_to_none=True)
        start = clock()
        PATHS[path](model, batch)
        return clock() - start

    for path in paths[-2:]:
        timed(path)
    return [{path: timed(path) for path in paths} for _ in range(pairs)]


def resident(field: str) -> float:
    """VmRSS, or VmHWM, its peak, in GB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 2**20
    raise ValueError(field)


def peak(path: str) -> tuple[float, float]:
    """Peak memory over the loaded model in GB, and the loss."""
    model, batch = make_model(), make_batch()
    if path != "trl":
        install(model)
    else:
        import trl.trainer.grpo_trainer  # noqa: F401  (its import is not the update's memory)
    Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    loss = PATHS[path](model, batch)
    return resident("VmHWM") - before, loss


def measure_peak(path: str) -> tuple[float, float]:
    answer = subprocess.run([sys.executable, __file__, "--peak", path], check=True, capture_output=True, text=True)
    memory, loss = map(float, answer.stdout.split()[-2:])
    return memory, loss


def median_ratio(rounds: list[dict[str, float]], over: str, under: str) -> float:
    return statistics.median(round_[over] / round_[under] for round_ in rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=3, help="rounds; every path runs once in each")
    parser.add_argument("--no-trl", action="store_true", help="leave TRL's slow path out of the rounds")
    parser.add_argument("--wall", action="store_true", help="wall-clock time, all threads")
    parser.add_argument("--peak", choices=PATHS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peak:
        print(*peak(arguments.peak))
        return
    paths = [path for path in PATHS if path != "trl" or not arguments.no_trl]
    memory = {path: measure_peak(path) for path in paths}
    if not arguments.wall:
        torch.set_num_threads(1)
    rounds = times(paths, arguments.pairs, time.perf_counter if arguments.wall else time.process_time)
    print(f"{'path':8} {'median s':>9} {'peak GB':>8} {'loss':>12}")
    for path in paths:
        seconds = statistics.median(round_[path] for round_ in rounds)
        print(f"{path:8} {seconds:9.2f} {memory[path][0]:8.2f} {memory[path][1]:12.7f}")
    print(f"packed / bare: {median_ratio(rounds, 'packed', 'bare'):.3f} of its time (at most 1.15)")
    if not arguments.no_trl:
        print(f"trl / packed:  {median_ratio(rounds, 'trl', 'packed'):.2f} times faster (at least 2.5)")
        print(f"trl / packed:  {memory['trl'][0] / memory['packed'][0]:.2f} times less memory (at least 6)")


if __name__ == "__main__":
    main()
