"""The written file, opened in a headless Chromium."""

import pytest

from grpo_plugin.console.report.page import write_report
from tests.browser import Browser
from tests.unit.console.run_folders import PLANTED, make_run

READY = "document.readyState === 'complete' && document.body.dataset.ready"
POINTS = """(async () => {
  byId("more").open = true;
  for (const card of cards) await draw(card);
  const points = (trace) => [trace.name, trace.y.filter((y) => y !== null).length];
  const curves = (card) => card.element.data.filter((trace) => trace.hoverinfo !== "skip");
  return Object.fromEntries(cards.map((card) => [card.chart.title, curves(card).map(points)]));
})()"""
SHARED = {"steps": 12, "per_step": 8}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("reports")


@pytest.fixture(scope="module")
def runs(folder):
    return [make_run(folder / "one", tokens=True, **SHARED), make_run(folder / "two", **SHARED)]


@pytest.fixture(scope="module")
def browser(folder):
    with Browser(folder) as browser:
        yield browser


def opened(browser, path):
    browser.complaints.clear()
    browser.requests.clear()
    browser.open(path)
    browser.wait_for(READY)
    return browser


def test_the_file_asks_for_nothing_and_no_text_of_a_run_is_html_in_it(folder, runs):
    write_report(runs[:1], folder / "report.html")
    text = (folder / "report.html").read_text()
    assert PLANTED not in text, "completions are packed"
    assert text.count("</script>") == text.count("<script")
    assert "default-src 'none'" in text
    for host in ('<link rel="stylesheet"', " src=", "@import"):
        assert host not in text.split("<script>")[0]


def test_each_chart_has_its_points_and_the_console_is_silent(browser, folder, runs):
    write_report(runs[:1], folder / "report.html")
    opened(browser, folder / "report.html")
    charts = browser.evaluate(POINTS)
    assert charts["Reward"] == [["reward", 12], ["rewards/accuracy/mean", 12], ["rewards/layout/mean", 12]]
    assert charts["Validation: accuracy"] == [["sampled", 3], ["greedy", 3], ["pass@4", 3]]
    assert charts["Seconds per phase"] == [[f"time/{phase}", 12] for phase in ("generate", "score", "train", "sync")]
    assert charts["Tokens per second"] == [["tokens per second", 11]]
    assert charts["a/metric_of_its_own"] == [["a/metric_of_its_own", 12]]
    for title in ("KL", "Entropy", "Clipped tokens", "Log-probability gap", "Length", "Truncated", "Groups"):
        assert charts[title] and all(points == 12 for _, points in charts[title])
    assert browser.evaluate("byId('alarms').textContent").startswith("step 30, entropy: entropy 0.02 nats. Try: raise")
    assert "base_model: user/model" in browser.evaluate("byId('facts').textContent")
    assert browser.complaints == []
    assert [url for url in browser.requests if not url.startswith(("file:", "data:"))] == []


def test_the_axis_and_the_smoothing_redraw(browser, folder, runs):
    write_report(runs[:1], folder / "report.html")
    opened(browser, folder / "report.html")
    browser.evaluate("byId('x-axis').value = 'seconds'; byId('x-axis').dispatchEvent(new Event('change'))")
    assert browser.evaluate("cards[0].element.data[0].x")[-1] == pytest.approx(11 * 11 / 3600)
    before = browser.evaluate("cards[0].element.data[0].y")
    browser.evaluate("byId('smoothing').value = 5; byId('smoothing').dispatchEvent(new Event('input'))")
    after = browser.evaluate("cards[0].element.data[0].y")
    # an exponential mean whose weights fall by 1 - 2 / 6 each step
    assert after[1] == pytest.approx((before[1] + before[0] * 2 / 3) / (1 + 2 / 3))
    assert browser.complaints == []


def rows(browser):
    return browser.evaluate(
        "[...byId('table').tBodies[0].rows].map((row) => [...row.cells].map((cell) => cell.textContent))"
    )


def show_completions(browser):
    browser.evaluate("document.querySelector('[data-tab=completions]').click()")
    browser.wait_for("byId('table').tBodies[0].rows.length")


def test_completions_are_found_sorted_and_shown(browser, folder, runs):
    write_report(runs[:1], folder / "report.html")
    opened(browser, folder / "report.html")
    show_completions(browser)
    assert "All 104 completions of the run." in browser.evaluate("byId('holds').textContent")
    browser.evaluate(f"search({PLANTED.upper()!r})")
    ((step, _, _, _, _, completion),) = rows(browser)
    assert step == "12" and completion
    browser.evaluate("choose(browser.order[0])")
    assert browser.evaluate("byId('completion').textContent").endswith(f"<b>{PLANTED}</b></script>")
    assert browser.evaluate("document.querySelectorAll('#tokens span').length") > 10
    first = browser.evaluate("document.querySelector('#tokens span').title")
    assert "log-probability when sampled: -" in first and "advantage: " in first
    history = browser.evaluate("document.querySelectorAll('.history tr').length")
    assert history == 13 * 4, "four completions of this prompt in each of 12 steps and in the validation"

    browser.evaluate("search('')")
    browser.evaluate("sortBy('reward')")
    assert {row[1] for row in rows(browser)[:10]} == {"1"}
    browser.evaluate("sortBy('reward')")
    assert {row[1] for row in rows(browser)[:10]} == {"0"}
    browser.evaluate("byId('split').value = '1'; setSteps()")
    assert len(rows(browser)) == 8 and {row[0] for row in rows(browser)} == {"0 val"}
    browser.evaluate("byId('split').value = '0'; setSteps()")
    browser.evaluate("byId('step').value = 3; filter()")
    assert {row[0] for row in rows(browser)} == {"3"} and len(rows(browser)) == 8
    assert browser.complaints == []


def test_runs_lie_over_one_another(browser, folder, runs):
    write_report(runs, folder / "both.html")
    opened(browser, folder / "both.html")
    charts = browser.evaluate(POINTS)
    assert charts["Entropy"] == [["one: entropy", 12], ["two: entropy", 12]]
    assert len(charts["Validation: accuracy"]) == 6
    show_completions(browser)
    browser.evaluate("loadRun(1)")
    assert len(rows(browser)) == 50
    assert "Nowhere." in browser.evaluate("byId('facts').textContent"), "the recipes are the same"
    assert browser.complaints == []


def test_a_hundred_thousand_completions_open_in_less_than_three_seconds(browser, folder):
    """Of the browser's processor time, which does not depend on what else the machine does."""
    run = make_run(folder / "large", steps=100, per_step=1000, words=15)
    assert write_report([run], folder / "large.html", rows=101_000).sentences == ["All 100,008 completions of the run."]
    browser.send("Performance.enable", timeDomain="threadTicks")
    before = processor_seconds(browser)
    opened(browser, folder / "large.html")
    assert processor_seconds(browser) - before < 3
    show_completions(browser)
    assert processor_seconds(browser) - before < 4.5, "with the index of all completions"
    browser.evaluate(f"search({PLANTED!r})")
    assert browser.evaluate("byId('found').textContent") == "1 found"
    assert browser.complaints == []


def processor_seconds(browser):
    metrics = browser.send("Performance.getMetrics")["metrics"]
    return next(metric["value"] for metric in metrics if metric["name"] == "ProcessTime")


def test_a_run_without_completions_or_metrics_still_has_its_page(browser, folder):
    run = folder / "bare"
    run.mkdir()
    (run / "metrics.jsonl").write_text('{"step": 1, "time": 1.0, "loss": 0.5}\n')
    write_report([run], folder / "bare.html")
    opened(browser, folder / "bare.html")
    show = "document.querySelector('[data-tab=completions]').click()"
    browser.evaluate(show)
    browser.wait_for("byId('place').textContent === 'none'")
    assert browser.evaluate(POINTS) == {"Loss": [["loss", 1]]}
    assert browser.complaints == []
