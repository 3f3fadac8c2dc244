"""The first lines of an imported recipe: the command that starts it, and which GPUs do what."""

from grpo_plugin.convert.easyr1.draft import Draft
from grpo_plugin.convert.easyr1.scale import Scale

_PORT = 29500  # PyTorch's


def header(draft: Draft, scale: Scale) -> list[str]:
    """Comment lines."""
    lines = ["Imported from EasyR1; `axolotl grpo plan` says what it needs.", "", *_indented(command(scale)), ""]
    lines += [*(_one_machine(scale) if scale.nodes == 1 else _machines(scale)), *draft.remarks]
    lines.append("After each value: EasyR1's key for it; (default) where the configuration does not set that key.")
    return [f"# {line}".rstrip() for line in lines]


def command(scale: Scale) -> str:
    """What starts the run; on several machines the same on each, but for the rank."""
    machines = ""
    if scale.nodes > 1:
        machines = f" --num-machines={scale.nodes} --machine-rank=RANK"
        machines += f" --main-process-ip=FIRST --main-process-port={_PORT}"
    return f"axolotl train --num-processes={scale.processes}{machines} recipe.yaml"


def _indented(words: str) -> list[str]:
    head, space, tail = words.partition(" --main-process-ip")
    return [f"    {head} \\", f"        {tail and space.strip()}{tail}"] if tail else [f"    {words}"]


def _one_machine(scale: Scale) -> list[str]:
    more = scale.gpus_of_first - scale.gpus
    needs = f"; this recipe needs {more} more." if more else "."
    return [f"{scale.gpus_of_first} GPUs: {_roles(scale)} EasyR1 used {scale.gpus} for both, in turns{needs}"]


def _machines(scale: Scale) -> list[str]:
    return [
        "The same command on each machine: RANK is 0 on the first, 1 on the next; FIRST is the address of the first.",
        f"{scale.nodes} machines of {scale.gpus_of_first} GPUs, where EasyR1 used {scale.gpus} for both, in turns: "
        f"{scale.processes // scale.nodes} train on each;",
        f"the last {scale.serving} of the first serve vLLM, the last {scale.serving} of every other stay idle.",
    ]


def _roles(scale: Scale) -> str:
    train = "1 trains" if scale.processes == 1 else f"{scale.processes} train"
    serve = "the last serves vLLM" if scale.serving == 1 else f"the last {scale.serving} serve vLLM"
    return f"{train}, {serve}."
