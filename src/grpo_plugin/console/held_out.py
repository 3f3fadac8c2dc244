"""Held-out accuracy as text: one line for each evaluation, and completions before training and now side by side."""

import textwrap
from collections.abc import Sequence

from grpo_plugin.config.prompts import VALIDATION
from grpo_plugin.console.examples import Example, Shown
from grpo_plugin.console.log_columns import WIDTH, decimal
from grpo_plugin.console.screen import Screen
from grpo_plugin.validation.accuracy import Accuracy, Evaluation

SHOWN = 300  # characters of a prompt or completion
BETWEEN = " │ "
COLUMN = (WIDTH - 2 - len(BETWEEN)) // 2


def show(screen: Screen, evaluations: Sequence[Evaluation], shown: Sequence[Example]) -> None:
    """One line for each set, and below them examples."""
    for evaluation in evaluations:
        screen.fact("held-out", sentence(evaluation))
    for example in shown:
        screen.lines(example_lines(example))


def sentence(evaluation: Evaluation) -> str:
    """One evaluation as one line: `after step 20: accuracy sampled 0.929 ± 0.010, greedy 0.984 ± 0.008`."""
    part = evaluation.overall
    figures = [f"{name} {figure_text(part, name, value)}" for name, value in part.figures() if value is not None]
    if figures and part.truncated:
        figures.append(f"cut off {part.truncated:.1%}")
    name = "" if evaluation.set == VALIDATION else f"{evaluation.set} "
    return f"{name}after step {evaluation.step}: {evaluation.metric} {', '.join(figures) or 'has no score'}"


def figure_text(part: Accuracy, name: str, value: float | None) -> str:
    """A figure with its standard error, `0.929 ± 0.010`; `-` where it was not measured."""
    if value is None:
        return "-"
    error = part.stderr.get(name)
    return decimal(value) if error is None else f"{decimal(value)} ± {decimal(error)}"


def example_lines(example: Example) -> list[str]:
    """The prompt and its gold answer, and below them its completions before training and now, side by side."""
    gold = "" if example.answer is None else f"   (gold: {middle_out(example.answer)})"
    lines = textwrap.wrap(f"{middle_out(example.prompt)}{gold}", WIDTH - 2)
    after = _column(example.after)
    if example.before is None:
        return [*lines, *(f"  {line}" for line in after)]
    before = _column(example.before)
    height = max(len(before), len(after))
    padded = [column + [""] * (height - len(column)) for column in (before, after)]
    rows = zip(*padded, strict=True)
    return [*lines, *(f"  {left:<{COLUMN}}{BETWEEN}{right}".rstrip() for left, right in rows)]


def _column(shown: Shown) -> list[str]:
    reward = "-" if shown.reward is None else decimal(shown.reward)
    text = textwrap.wrap(middle_out(shown.text), COLUMN, replace_whitespace=False)
    return [f"step {shown.step}, reward {reward}", *text]


def middle_out(text: str, limit: int = SHOWN) -> str:
    """One line of at most `limit` characters that keeps the beginning and the end, where an answer stands.

    Control characters, which a terminal would execute, are replaced.
    """
    line = "".join(letter if letter.isprintable() else "�" for letter in " ".join(text.split())) or "(empty)"
    if len(line) <= limit:
        return line
    half = (limit - 3) // 2
    return f"{line[:half]} … {line[-half:]}"
