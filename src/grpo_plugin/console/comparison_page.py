"""A comparison of two models as lines of a terminal, and as one HTML file that opens from disk."""

import html
from collections.abc import Iterator, Sequence

from grpo_plugin.console.final_report import aligned
from grpo_plugin.validation.comparison import Comparison, Difference

HEADER = ("", "base", "trained", "change", "±", "better", "worse", "prompts")
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem }
html { color-scheme: light dark }
table { border-collapse: collapse } td { padding: .2rem .8rem; text-align: right } td:first-child { text-align: left }
article { border-top: 1px solid #8886; padding: 1rem 0 } pre { white-space: pre-wrap; margin: .3rem 0 }
.sides { display: grid; grid-template-columns: 1fr 1fr; gap: 1rem } .better { color: #2a8a3c } .worse { color: #c0392b }
"""
SHOW = """
document.querySelector("select").onchange = event => document.querySelectorAll("article").forEach(
  article => article.hidden = event.target.value !== "all" && article.dataset.kind !== event.target.value)
"""


def lines(comparison: Comparison) -> list[str]:
    """The table of rewards."""
    return aligned([HEADER, *(_cells(each) for each in comparison.differences())], "<>>>>>>>")


def page(comparison: Comparison, base: str, trained: str) -> str:
    """The whole file: the table, then every prompt with both answers, the largest changes first."""
    rows = [HEADER, *(_cells(each) for each in comparison.differences())]
    table = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    options = "".join(f"<option>{kind}</option>" for kind in ("all", "better", "worse", "equal"))
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{html.escape(trained)}</title><style>{STYLE}</style>"
        f"<h1>Two models on {len(comparison.prompts)} prompts</h1>"
        f"<p>base: <code>{html.escape(base)}</code><br>trained: <code>{html.escape(trained)}</code></p>"
        f"<table>{table}</table><p>Show <select>{options}</select></p>{''.join(_articles(comparison))}"
        f"<script>{SHOW}</script></html>\n"
    )


def _articles(comparison: Comparison) -> Iterator[str]:
    pairs = comparison.pairs()
    changes = [(trained or 0.0) - (base or 0.0) for base, trained in pairs]
    for place in sorted(range(len(changes)), key=lambda place: -abs(changes[place])):
        kind = "better" if changes[place] > 0 else "worse" if changes[place] < 0 else "equal"
        gold = comparison.answers[place]
        yield (
            f"<article data-kind={kind}><b class={kind}>{changes[place]:+.3f}</b>"
            f"<pre>{html.escape(comparison.prompts[place])}</pre>"
            + (f"<p>gold: <code>{html.escape(gold)}</code></p>" if gold is not None else "")
            + "<div class=sides>"
            + _side("base", comparison.base.texts[place], pairs[place][0])
            + _side("trained", comparison.trained.texts[place], pairs[place][1])
            + "</div></article>"
        )


def _side(name: str, texts: Sequence[str], reward: float | None) -> str:
    shown = "".join(f"<pre>{html.escape(text) or '(empty)'}</pre>" for text in texts)
    return f"<div>{name}, reward {_figure(reward)}{shown}</div>"


def _cells(each: Difference) -> tuple[str, ...]:
    figures = (_figure(each.base), _figure(each.trained), f"{each.change:+.3f}", _figure(each.stderr))
    return (each.function, *figures, str(each.better), str(each.worse), str(each.prompts))


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
