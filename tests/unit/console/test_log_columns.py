import pytest

from grpo_plugin.console import log_columns
from grpo_plugin.console.log_columns import header, layout, line, reward_functions

LOGS = {
    "step": 12,
    "reward": 0.8126,
    "rewards/accuracy/mean": 0.75,
    "completions/mean_length": 14.26,
    "kl": None,
    "entropy": 1.5,
    "rollout/logp_gap": 3.14e-7,
    "completions/clipped_ratio": 0.125,
    "time/generate": 1.234,
    "time/score": 0.031,
    "time/train": 12.34,
    "time/sync": 123.4,
}


def test_one_step_reads_as_an_aligned_line():
    shown = layout(["accuracy"], eta=True)
    assert header(shown) == (
        " step reward accuracy length      KL entropy logp gap   cut generate score train  sync     ETA"
    )
    assert line(shown, {**LOGS, "eta": 3723.0}) == (
        "   12  0.813    0.750   14.3       -   1.500  3.1e-07   12%    1.23s 0.03s 12.3s  123s 1:02:03"
    )


def test_a_column_the_run_lacks_is_a_dash_and_a_broken_number_shows():
    cells = line(layout([]), {"step": 1, "reward": float("nan"), "entropy": 0.0}).split()
    assert cells == ["1", "nan", "-", "-", "0.000", "-", "-", "-", "-", "-", "-"]


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        (log_columns.decimal, -0.25, "-0.250"),
        (log_columns.decimal, -12345.0, "-1.2e+04"),
        (log_columns.length, 20480.4, "20480"),
        (log_columns.small, 0.0, "0.0000"),
        (log_columns.small, 0.0123, "0.0123"),
        (log_columns.small, 0.00099, "9.9e-04"),
        (log_columns.small, 12.5, "1.2e+01"),
        (log_columns.percent, 0.0, "0%"),
        (log_columns.percent, 0.0042, "0.4%"),
        (log_columns.percent, 0.0996, "10%"),
        (log_columns.percent, 1.0, "100%"),
        (log_columns.seconds, 9.999, "10.0s"),
        (log_columns.seconds, 99.96, "100s"),
        (log_columns.clock, None, "-:--"),
        (log_columns.clock, 59.6, "1:00"),
        (log_columns.clock, 3599.7, "1:00:00"),
    ],
)
def test_numbers(text, value, expected):
    assert text(value) == expected


@pytest.mark.parametrize(
    ("logs", "sentence"),
    [
        ({"advantages/zero": 1.0, "groups/mixed": 0.0}, "every group scored alike: nothing was learnt from rewards"),
        (
            {"advantages/zero": 1.0, "groups/mixed": 0.5},
            "no completion has an advantage: nothing was learnt from rewards",
        ),
        ({"advantages/zero": 0.99, "groups/mixed": 0.0}, None),
        ({"groups/mixed": 0.0}, None),
    ],
)
def test_a_step_without_a_signal(logs, sentence):
    assert log_columns.without_signal(logs) == sentence


def test_reward_functions_are_found_in_their_order():
    logs = {"reward": 1.0, "rewards/format/mean": 1.0, "rewards/format/std": 0.0, "rewards/a/b/mean": 0.5}
    assert reward_functions(logs) == ["format", "a/b"]


@pytest.mark.parametrize("eta", [True, False])
@pytest.mark.parametrize("width", [30, 80, 110])
def test_lines_never_exceed_the_width_and_reward_functions_go_first(width, eta):
    names = [f"reward_function_number_{index}" for index in range(9)]
    shown = layout(names, width, eta)
    assert len(header(shown)) <= width
    titles = [column.title for column in shown]
    assert titles[:2] == ["step", "reward"]
    if width == 110:
        assert "sync" in titles
        assert "reward_func…" in titles


def test_the_quickstart_line_fits_a_terminal_of_80():
    assert [column.title for column in layout(["accuracy"], 80)][-1] == "train"


def test_turns_and_calls_of_episodes_have_columns():
    shown = layout(["accuracy"], 200, episodes=True)
    assert [column.title for column in shown[2:6]] == ["accuracy", "turns", "calls", "length"]
    cells = line(shown, {"episode/turns": 1.5, "episode/tool_calls": 0.125}).split()
    assert cells[3:5] == ["1.50", "0.12"]
