"""The report at the end of a run: accuracy before and after, examples, time, outputs and commands for them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from grpo_plugin.config.prompts import VALIDATION
from grpo_plugin.console.examples import Example, examples
from grpo_plugin.console.held_out import example_lines, figure_text
from grpo_plugin.console.log_columns import clock, length
from grpo_plugin.console.screen import Screen
from grpo_plugin.console.timing import Stopwatch
from grpo_plugin.recipe import Recipe
from grpo_plugin.recipe.checkpoint_layout import layout_of
from grpo_plugin.validation.accuracy import Evaluation, by_set

GROUPS = 20
OUTPUTS = {
    "model": ".",
    "report": "report.html",
    "curve": "curve.png",
    "completions": "generations",
    "held-out": "validation",
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
        for title, lines in set_sections(self.evaluations):
            screen.section(title, lines)
        if self.examples:
            parts = [example_lines(example) for example in self.examples]
            lines = [line for part in parts for line in ["", *part]]
            count = f"{len(self.examples)} held-out prompts" if len(self.examples) > 1 else "held-out prompt"
            screen.section(f"The first {count}", lines[1:])
        screen.section("Where the time went", time_lines(self.seconds, self.elapsed))
        screen.section("Outputs", aligned([[label, text] for label, text in self.outputs.items()], "<<"))
        screen.section("Next", aligned([[label, text] for label, text in self.commands.items()], "<<"))


def set_sections(evaluations: Sequence[Evaluation]) -> Iterator[tuple[str, list[str]]]:
    """Title and lines for each set of held-out prompts: its first and its last evaluation."""
    for name, of_set in by_set(evaluations).items():
        first, last = of_set[0], of_set[-1]
        title = "" if name == VALIDATION else f"{name}: "
        mean = f", mean of {last.samples} samples" if last.samples > 1 else ""
        yield f"Held-out {title}{last.metric}, {last.overall.prompts} prompts{mean}", accuracy_lines(first, last)


def of_run(recipe: Recipe, evaluations: Sequence[Evaluation], watch: Stopwatch) -> FinalReport:
    """The report of a run at its end; `validation.only` asked for figures alone, and leaves no model."""
    out = recipe.output_dir
    saved = layout_of(out) != "none" and not (recipe.validation is not None and recipe.validation.only)
    names = {label: name for label, name in OUTPUTS.items() if saved or label != "model"}
    return FinalReport(
        evaluations=evaluations,
        examples=_examples(recipe, evaluations),
        seconds=watch.totals(),
        elapsed=watch.elapsed(),
        outputs={label: str(out / name) for label, name in names.items() if (out / name).exists()},
        commands=commands(recipe) if saved else {},
    )


def _examples(recipe: Recipe, evaluations: Sequence[Evaluation]) -> list[Example]:
    if not evaluations or recipe.validation is None:
        return []
    return examples(recipe.output_dir / "validation", recipe.validation.show, next(iter(by_set(evaluations))))


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


def accuracy_lines(before: Evaluation, after: Evaluation) -> list[str]:
    """Held-out accuracy: overall, then per group; one column of figures if there was only one evaluation."""
    unseen = len(after.groups) - GROUPS
    return _accuracy_rows(before, after) + ([f"… and {unseen} more groups"] if unseen > 0 else [])


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


def _accuracy_rows(before: Evaluation, after: Evaluation) -> list[str]:
    figures = _figures(after)
    if before.step == after.step:
        return aligned([["", f"step {after.step}"], *([label, text] for label, (text, _) in figures.items())], "<>")
    first = _figures(before)
    rows = []
    for label, (text, value) in figures.items():
        earlier, old = first.get(label, ("-", None))
        rows.append([label, earlier, text, _change(old, value, label)])
    return aligned([["", f"before (step {before.step})", f"after (step {after.step})", "change"], *rows], "<>>>")


def _figures(evaluation: Evaluation) -> dict[str, tuple[str, float | None]]:
    """Label → the figure as text and as a number: of all prompts, then of each group."""
    part = evaluation.overall
    figures = {name: (figure_text(part, name, value), value) for name, value in part.figures()}
    if part.truncated is not None and part.mean_length is not None:
        figures["cut off"] = f"{part.truncated:.1%}", part.truncated
        figures["tokens"] = length(part.mean_length), part.mean_length
    for group, of_group in list(evaluation.groups.items())[:GROUPS]:
        for name, value in of_group.figures():
            figures[f"{name}, {group}"] = figure_text(of_group, name, value), value
    return figures


def _change(before: float | None, after: float | None, label: str) -> str:
    if before is None or after is None:
        return "-"
    change = after - before
    return f"{change:+.1%}" if label == "cut off" else f"{change:+.1f}" if label == "tokens" else f"{change:+.3f}"
