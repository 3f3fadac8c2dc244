"""What `layout_choice` tells apart: the rounding noise of a layout that holds, and sequences that see each other.

    python -m benchmarks.layouts [--families Qwen2,Mamba2] [--seeds 2] [--types bfloat16]

The families of tests/unit/algorithms/test_families.py with random weights. A layout holds for a family if it agrees in
fp32 with the model's own forward to 1e-3 nats per token; in the other types its gap is then noise, and the gap of a
layout that does not hold is a leak. The last lines are the largest noise and the smallest leak: a tolerance belongs
between the two.
"""

import argparse
from typing import Any

import torch
import transformers
from torch import nn

from grpo_plugin.algorithms.layout_choice import TOLERANCES, gaps, logprobs, own_logits, packed
from grpo_plugin.algorithms.layouts import LAYOUTS
from grpo_plugin.compat.packed_attention import install
from tests.unit.algorithms.test_families import ALONE, PACKED, PACKED_MASK, SHAPE

# Eight times as wide as in the tests, where noise adds up; a family whose other sizes do not allow it stays narrow.
WIDER = {"hidden_size": 256, "intermediate_size": 512}
SIZES = {"vocab_size": 512, "max_position_embeddings": 256}
LENGTHS = (40, 90, 24, 120)
HOLDS = 1e-3


def make_model(family: str, seed: int) -> Any:
    """In fp32, with weights that keep the scale of states from layer to layer, so that tokens matter to each other."""
    settings = {**PACKED, **PACKED_MASK, **ALONE}[family]
    for wider in (WIDER, {}):
        values = {**SHAPE, **SIZES, **wider, **settings}
        torch.manual_seed(seed)
        try:
            config = getattr(transformers, f"{family}Config")(**values)
            model = transformers.AutoModelForCausalLM.from_config(config).float().eval()
        except Exception:  # sizes that belong together
            continue
        for parameter in model.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=values["hidden_size"] ** -0.5)
        install(model)
        return model
    raise ValueError(f"{family} in neither width")


def largest_gaps(model: Any, seed: int) -> dict[str, float]:
    """Of each layout that runs, in nats per token."""
    draw = torch.Generator().manual_seed(seed)
    rows = [torch.randint(3, SIZES["vocab_size"], (length,), generator=draw) for length in LENGTHS]
    with torch.no_grad():
        own = [logprobs(own_logits(model, row), row) for row in rows]
        found = {layout: gaps(model, packed(rows), layout, own) for layout in LAYOUTS}
    return {layout: max(values) for layout, values in found.items() if not isinstance(values, str)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", default=",".join((*PACKED, *PACKED_MASK, *ALONE)))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--types", default="bfloat16,float16")
    arguments = parser.parse_args()
    types = {name: getattr(torch, name) for name in ("float32", *arguments.types.split(","))}
    noise, leaks = dict.fromkeys(types, 0.0), dict.fromkeys(types, float("inf"))
    print(f"{'family':18}{'type':>10}{'noise':>10}{'leak':>10}  layouts that leak")
    for family in arguments.families.split(","):
        for name, dtype in types.items():
            honest, leaking = [0.0], dict[str, float]()
            for seed in range(arguments.seeds):
                model = make_model(family, seed)
                exact = largest_gaps(model, seed)
                try:
                    found = exact if name == "float32" else largest_gaps(model.to(dtype), seed)
                except Exception as error:  # a family without a kernel for the type on this machine
                    print(f"{family:18}{name:>10}  {type(error).__name__}: {str(error)[:60]}")
                    break
                honest += [value for layout, value in found.items() if exact.get(layout, 1.0) <= HOLDS]
                for layout, value in found.items():
                    if exact.get(layout, 0.0) > HOLDS:
                        leaking[layout] = min(value, leaking.get(layout, value))
            noise[name], leaks[name] = max(noise[name], *honest), min(leaks[name], *leaking.values(), leaks[name])
            least = f"{min(leaking.values()):>10.2g}" if leaking else f"{'':>10}"
            print(f"{family:18}{name:>10}{max(honest):>10.2g}{least}  {', '.join(leaking)}", flush=True)
    for name, dtype in types.items():
        least, most = TOLERANCES[dtype]
        print(
            f"{name}: largest noise {noise[name]:.2g}, smallest leak {leaks[name]:.2g}, allowed {least:g} to {most:g}"
        )


if __name__ == "__main__":
    main()
