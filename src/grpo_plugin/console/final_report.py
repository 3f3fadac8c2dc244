"""The report at the end of a run: accuracy before and after, examples, time, outputs and commands for them."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from grpo_plugin.console.examples import Example, examples
from grpo_plugin.console.log_columns import WIDTH, clock, decimal
from grpo_plugin.console.screen import Screen
from grpo_plugin.console.timing import Stopwatch
from grpo_plugin.recipe import Recipe
from grpo_plugin.validation.evaluation import Accuracy, Evaluation

GROUPS = 20
SHOWN = 300  # characters of a prompt or completion
OUTPUTS = {
    "model": ".",
    "curve": "curve.png",
    "completions": "generations",
    "debug log": "debug.log",
    "vLLM's log": "vllm.log",
}
# Clearer names for some sections of the trainer's stopwatch.
SECTIONS = {"canary": "log-probability check", "score": "rewards", "sync": "weights to vLLM"}


@dataclass(frozen=True)
class FinalReport:
    """`seconds` are a stopwatch's totals, `elapsed` the time they are a part of; `outputs` and `commands` by label."""

    evaluations: Sequence[Evaluation]
    examples: Sequence[Example]
    seconds: Mapping[str, float]
    elapsed: float
    outputs: Mapping[str, str]
    commands: Mapping[str, str]

    def show(self, screen: Screen) -> None:
        """Write every part that has something in it."""
        if self.evaluations:
            first, last = self.evaluations[0], self.evaluations[-1]
            screen.section(f"Held-out {last.metric}, {last.overall.prompts} prompts", accuracy_lines(first, last))
        if self.examples:
            parts = [example_lines(example) for example in self.examples]
            lines = [line for part in parts for line in ["", *part]]
            screen.section(f"The first {len(self.examples)} held-out prompts", lines[1:])
        screen.section("Where the time went", time_lines(self.seconds, self.elapsed))
        screen.section("Outputs", aligned([[label, text] for label, text in self.outputs.items()], "<<"))
        screen.section("Next", aligned([[label, text] for label, text in self.commands.items()], "<<"))


def of_run(recipe: Recipe, evaluations: Sequence[Evaluation], watch: Stopwatch) -> FinalReport:
    """The report of a run that has saved its model; examples are shown if the run was validated."""
    out = recipe.output_dir
    return FinalReport(
        evaluations=evaluations,
        examples=examples(out / "generations") if evaluations else [],
        seconds=watch.totals(),
        elapsed=watch.elapsed(),
        outputs={label: str(out / name) for label, name in OUTPUTS.items() if (out / name).exists()},
        commands=commands(recipe),
    )


def commands(recipe: Recipe) -> dict[str, str]:
    """The commands to chat with the trained model and to serve it, an adapter exported first; and to export one."""
    path, out = recipe.values["axolotl_config_path"], recipe.output_dir
    found = {
        "chat": f"axolotl grpo chat {path} --model={out}",
        "serve": f"axolotl grpo serve {path} --model={out} --host=127.0.0.1",
    }
    return found | (
        {"export": f"axolotl grpo export {out} --out={out / 'merged'}"} if recipe.values.get("adapter") else {}
    )


def sentence(evaluation: Evaluation) -> str:
    """One evaluation as one line: `after step 20: accuracy sampled 0.929, greedy 0.984`."""
    figures = [f"{name} {value:.3f}" for name, value in _accuracies(evaluation.overall) if value is not None]
    return f"after step {evaluation.step}: {evaluation.metric} {', '.join(figures) or 'has no score'}"


def accuracy_lines(before: Evaluation, after: Evaluation) -> list[str]:
    """Held-out accuracy: overall, then per group; one column of figures if there was only one evaluation."""
    unseen = len(after.groups) - GROUPS
    return _accuracy_rows(before, after) + ([f"… and {unseen} more groups"] if unseen > 0 else [])


def example_lines(example: Example) -> list[str]:
    """Prompt, completion before and after with their rewards, and the gold answer."""
    parts = {"prompt": middle_out(example.prompt)}
    if example.before is not None:
        parts["before"] = f"{middle_out(example.before)}   (reward {_figure(example.reward_before)})"
    parts["after"] = f"{middle_out(example.after)}   (reward {_figure(example.reward_after)})"
    if example.answer is not None:
        parts["gold"] = middle_out(example.answer)
    rows = []
    for label, text in parts.items():
        first, *rest = textwrap.wrap(text, WIDTH - 12, replace_whitespace=False)
        rows += [[label, first], *(["", more] for more in rest)]
    return aligned(rows, "<<")


def time_lines(seconds: Mapping[str, float], elapsed: float) -> list[str]:
    """Time and share of every section, largest first; `other` is what no section covered."""
    rows = [(SECTIONS.get(name, name), value) for name, value in sorted(seconds.items(), key=lambda row: -row[1])]
    other = max(0.0, elapsed - sum(seconds.values()))
    rows += [("other", other), ("total", elapsed)]
    long = elapsed >= 600
    return aligned(
        [[label, clock(value) if long else f"{value:.1f} s", f"{value / elapsed:.1%}"] for label, value in rows], "<>>"
    )


def aligned(rows: Sequence[Sequence[str]], sides: str) -> list[str]:
    """Rows as lines of columns, each as wide as its longest cell and aligned to its side, `<` or `>`."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(sides))] if rows else []
    cells = [[f"{cell:{side}{width}}" for cell, side, width in zip(row, sides, widths, strict=True)] for row in rows]
    return ["  ".join(row).rstrip() for row in cells]


def middle_out(text: str, limit: int = SHOWN) -> str:
    """One line of at most `limit` characters that keeps the beginning and the end, where an answer stands.

    Control characters, which a terminal would execute, are replaced.
    """
    line = "".join(letter if letter.isprintable() else "�" for letter in " ".join(text.split())) or "(empty)"
    if len(line) <= limit:
        return line
    half = (limit - 3) // 2
    return f"{line[:half]} … {line[-half:]}"


def _accuracy_rows(before: Evaluation, after: Evaluation) -> list[str]:
    if before.step == after.step:
        rows = [[label, _figure(value)] for label, value in _figures(after)]
        return aligned([["", f"step {after.step}"], *rows], "<>")
    first = dict(_figures(before))
    rows = [
        [label, _figure(first.get(label)), _figure(value), _change(first.get(label), value)]
        for label, value in _figures(after)
    ]
    return aligned([["", f"before (step {before.step})", f"after (step {after.step})", "change"], *rows], "<>>>")


def _figures(evaluation: Evaluation) -> Iterator[tuple[str, float | None]]:
    yield from _accuracies(evaluation.overall)
    for group, part in list(evaluation.groups.items())[:GROUPS]:
        for label, value in _accuracies(part):
            yield f"{label}, {group}", value


def _accuracies(part: Accuracy) -> Iterator[tuple[str, float | None]]:
    yield "sampled", part.sampled
    if part.greedy is not None:
        yield "greedy", part.greedy
    for k, chance in part.pass_at.items():
        yield f"pass@{k}", chance


def _figure(value: float | None) -> str:
    return "-" if value is None else decimal(value)


def _change(before: float | None, after: float | None) -> str:
    return "-" if before is None or after is None else f"{after - before:+.3f}"
