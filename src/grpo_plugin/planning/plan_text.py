"""The text of a plan: what `axolotl grpo plan` prints, and the sentence in the first lines of a recipe."""

from collections.abc import Iterable, Iterator
from fractions import Fraction

from grpo_plugin.algorithms.settings import of_recipe
from grpo_plugin.planning.machine import GIB
from grpo_plugin.planning.plan import Plan
from grpo_plugin.planning.plan_warnings import warnings_of

WIDTH = 14


def report(plan: Plan) -> str:
    """The whole plan, one fact per line."""
    lines = [*_roles(plan), *_batch(plan), *_memory(plan), *_disk(plan), *_command(plan)]
    lines += _list("problems", plan.problems, "none; `axolotl train` would start")
    lines += _list("warnings", warnings_of(plan), "none")
    return "\n".join(lines)


def requirement(plan: Plan) -> str:
    """`8 GPUs of 48 GiB: 7 train (34 GiB each), 1 serves vLLM (20 GiB).`, as recipes have it in their first lines."""
    if not plan.machine.gpus and plan.main_memory:
        needed = plan.main_memory
        server = f", {_size(needed.server)} vLLM" if needed.server else ""
        trainer = _size(needed.lasting + needed.passing)
        return f"no GPU, and {_size(needed.most)} of memory: {trainer} the trainer{server}."
    if plan.trainer is None or plan.card is None:
        return f"{_gpus(plan.batch.processes + plan.serving_gpus)}; the model's shape is not known here."
    trainers, servers = plan.batch.processes, plan.serving_gpus
    parts = [f"{trainers} train{'' if trainers > 1 else 's'} ({_size(plan.trainer.total)} each)"]
    if plan.serving:
        parts.append(f"{servers} serve{'' if servers > 1 else 's'} vLLM (at least {_size(plan.serving.needs())})")
    return f"{_gpus(trainers + servers)} of {plan.card} GiB: {', '.join(parts)}."


def _roles(plan: Plan) -> Iterator[str]:
    if not plan.machine.gpus:
        yield _line("roles", "no GPU: the trainer and vLLM share the processor")
        yield _line("", "this plan is for a machine without; --gpus=N plans for one with N")
        return
    if plan.card:
        yield _line("needs", requirement(plan))
    machines = f" on {plan.machine.nodes} machines" if plan.machine.nodes > 1 else ""
    server = f", {plan.serving_gpus} for vLLM" if plan.serving_gpus else ""
    yield _line("roles", f"{plan.batch.processes} GPU(s) train{machines}{server}, of {plan.machine.gpus} each")
    if plan.least_trainers:
        size = plan.machine.gpu_memory / GIB
        yield _line("", f"the trainer fits from {plan.least_trainers} GPU(s) of {size:.0f} GiB on")


def _batch(plan: Plan) -> Iterator[str]:
    batch = plan.batch
    yield _line(
        "rollout batch",
        f"{batch.prompts_per_rollout} prompts × {batch.generations} completions = {batch.per_rollout}",
    )
    yield _line(
        "optimizer step",
        f"{batch.processes} process(es) × micro-batches of {batch.micro} × {batch.accumulation} accumulated = "
        f"{batch.per_step} completions of {_number(batch.prompts_per_step)} prompts",
    )
    repeated = f", {batch.iterations} times over" if batch.iterations > 1 else ""
    yield _line("", f"{_number(batch.steps_per_rollout)} optimizer step(s) per rollout batch{repeated}")
    yield _line("epoch", _epoch(plan))


def _epoch(plan: Plan) -> str:
    prompts = plan.batch.prompts_per_rollout
    if plan.rows is None:
        return f"rows ÷ {prompts} rollout batches (--rows says how many){_run(plan)}"
    if plan.rows < prompts:
        return f"{plan.rows:,} prompts are fewer than the {prompts:,} of a rollout batch{_run(plan)}"
    steps, rollouts = plan.batch.steps_per_epoch(plan.rows), plan.batch.rollouts_per_epoch(plan.rows)
    return f"{plan.rows:,} prompts make {rollouts:,} rollout batches, {steps:,} optimizer steps{_run(plan)}"


def _run(plan: Plan) -> str:
    """The steps of the run, and its passes over the data where they are not the recipe's epochs."""
    if not plan.steps:
        return ""
    run = f"; the run: {plan.steps:,} optimizer steps"
    passes = plan.batch.passes_over_data(plan.steps, plan.rows) if plan.rows else plan.epochs
    if passes == plan.epochs:
        return run
    least = "at least " if of_recipe(plan.recipe.algorithm, plan.recipe.trl).filter else ""
    return f"{run}, {least}{float(passes):.3g} passes over the prompts"


def _memory(plan: Plan) -> Iterator[str]:
    if plan.model is None:
        yield _line("memory", f"unknown: no config.json of {plan.recipe.values['base_model']!r} can be read here")
        return
    assert plan.trainer is not None
    several = " per process" if plan.batch.processes > 1 else ""
    where = "per GPU" if plan.machine.gpus else f"in memory{several}"
    yield _line("model", f"{_count(plan.model.shape.parameters)} parameters, from {plan.model.source}")
    yield _line("trainer", f"about {_size(plan.trainer.total)} {where}, with every sequence at its limit")
    yield from (_line("", f"{_size(size):>9}  {part}") for part, size in plan.trainer.parts.items())
    yield from _serving(plan)


def _serving(plan: Plan) -> Iterator[str]:
    if plan.serving is None:
        return
    memory, serving = plan.machine.gpu_memory, plan.serving
    if not plan.machine.gpus:
        assert plan.main_memory is not None
        needed = plan.main_memory
        cache = f"a cache of {_size(needed.cache)}" if needed.cache else "libraries; and a cache as vLLM chooses"
        others = ", libraries" if needed.cache else ""
        yield _line("vLLM", f"about {_size(needed.server)}: weights, a packed copy, {cache}{others}")
        return
    yield _line("vLLM", f"takes {serving.utilization:.0%} of {_size(memory)} per GPU: weights {_size(serving.weights)}")
    if serving.sequence:
        yield _line(
            "",
            f"caches {max(0, serving.cached_tokens(memory)):,} tokens: {serving.at_once(memory)} completions of full "
            f"length ({serving.sequence:,} tokens) at once",
        )


def _disk(plan: Plan) -> Iterator[str]:
    if plan.disk is None:
        return
    disk = plan.disk
    kept = f"{disk.checkpoints} checkpoint(s) of {_size(disk.checkpoint)}, one being written, and "
    what = f"{kept if disk.checkpoints else ''}the final model"
    yield _line("disk", f"{_size(disk.download)} to load, {_size(disk.output)} in output_dir ({what})")
    if disk.shared_memory:
        yield _line("", f"{_size(disk.shared_memory)} in /dev/shm, for weights on their way to vLLM")


def _command(plan: Plan) -> Iterator[str]:
    if plan.command:
        yield _line("vLLM's command", plan.command)
    elif plan.recipe.rollout and plan.recipe.rollout.url:
        yield _line("vLLM", f"runs already at {plan.recipe.rollout.url}")


def _list(label: str, sentences: Iterable[str], otherwise: str) -> list[str]:
    found = list(sentences) or [otherwise]
    return [_line(label if index == 0 else "", sentence) for index, sentence in enumerate(found)]


def _line(label: str, text: str) -> str:
    return f"{label:<{WIDTH}}  {text}"


def _size(size: float) -> str:
    if size < GIB / 2:
        return f"{size / 2**20:.0f} MiB"
    return f"{size / GIB:.1f} GiB" if size < 10 * GIB else f"{size / GIB:.0f} GiB"


def _count(parameters: int) -> str:
    return f"{parameters / 1e9:.2f} billion" if parameters >= 1e8 else f"{parameters / 1e6:.1f} million"


def _gpus(count: int) -> str:
    return f"{count} GPU{'s' if count > 1 else ''}"


def _number(value: Fraction) -> str:
    return str(value) if value.denominator == 1 else f"{float(value):.2f}"
