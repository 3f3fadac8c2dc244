"""What a machine without a GPU cannot run: half precision, FlashAttention, DeepSpeed, too large a model …"""

from collections.abc import Iterator

from grpo_plugin.planning.machine import GIB, Machine
from grpo_plugin.planning.main_memory import main_memory, processes_here
from grpo_plugin.planning.model_shapes import Model, find_model
from grpo_plugin.recipe import Recipe

_ELSEWHERE = "(--gpus=N plans for a machine with N)"


def cpu_problems(recipe: Recipe, machine: Machine) -> Iterator[str]:
    """One sentence for each key that needs a GPU; none on a machine that has one."""
    if machine.gpus:
        return
    values = recipe.values
    precision = {key: values.get(key) for key in ("bf16", "fp16", "bfloat16", "float16") if values.get(key)}
    if "bf16" not in values and not precision and not values.get("float32"):
        yield (
            "bf16: missing, and without a GPU Axolotl would take float16, in which a CPU does not train; set "
            f"bf16: false {_ELSEWHERE}."
        )
    for key, value in precision.items():
        yield f"{key}: {value!r} needs a GPU, and there is none; set {key}: false {_ELSEWHERE}."
    if values.get("flash_attention"):
        yield f"flash_attention: true needs a GPU, and there is none; remove it {_ELSEWHERE}."
    elif str(values.get("attn_implementation") or "").startswith("flash_attention"):
        kind = values["attn_implementation"]
        yield f"attn_implementation: {kind!r} needs a GPU, and there is none; remove it {_ELSEWHERE}."
    if values.get("deepspeed"):
        yield (
            "deepspeed: there is no GPU, and where it trains on CPUs accelerate passes over DeepSpeed's settings and "
            f"gives every process a whole copy of the model; remove it {_ELSEWHERE}, or divide the model by "
            "fsdp_config with --num-processes of 2 or more."
        )
    if (values.get("fsdp_config") or values.get("fsdp")) and (machine.num_processes or 1) < 2:
        yield (
            "fsdp_config: divides the model over processes, and there is one; use --num-processes=2 or more, or remove "
            f"it {_ELSEWHERE}."
        )


def memory_problems(recipe: Recipe, machine: Machine) -> Iterator[str]:
    """The sentence for a model that does not fit the main memory of this machine, which has no GPU."""
    model = None if machine.gpus else find_model(str(recipe.values.get("base_model")))
    if model is not None and model.exact and (sentence := too_large(recipe, machine, model)):
        yield sentence


def too_large(recipe: Recipe, machine: Machine, model: Model) -> str | None:
    """What a model needs of this machine's main memory; None where it fits, and where the memory is not known."""
    needed = main_memory(recipe, machine, model.shape)
    if machine.memory is None or needed.least <= machine.memory:
        return None
    processes = processes_here(machine)
    several = f" in {processes} processes" if processes > 1 else ""
    server = f", vLLM {needed.server / GIB:.1f}" if needed.server else ""
    unsure = "" if model.exact else f", by {model.source}"
    fewer = "use fewer processes (--num-processes), " if processes > 1 else ""
    adapter = "" if recipe.values.get("adapter") else "train an adapter (adapter: lora), "
    return (
        f"base_model: {recipe.values['base_model']!r} needs at least {needed.least / GIB:.1f} GiB of memory (the "
        f"trainer{several} {needed.lasting / GIB:.1f}{server}{unsure}), and this machine has "
        f"{machine.memory / GIB:.1f}; {fewer}{adapter}name a smaller model, or use a machine with more memory "
        f"{_ELSEWHERE}."
    )
