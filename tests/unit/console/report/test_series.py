import pytest

from grpo_plugin.console.report.run_folder import read
from grpo_plugin.console.report.series import TOKENS_PER_SECOND, columns, of_run, thinned, tokens_per_second
from grpo_plugin.errors import DataError
from tests.unit.console.run_folders import make_run


def test_a_metric_that_a_step_lacks_is_none_there():
    assert columns([{"step": 1, "kl": 0.5}, {"step": 2, "entropy": 1.0, "name": "text"}]) == {
        "step": [1, 2],
        "kl": [0.5, None],
        "entropy": [None, 1.0],
    }


def row(tokens, **seconds):
    return {"num_tokens": tokens, **{f"time/{phase}": value for phase, value in seconds.items()}}


def test_tokens_per_second_are_those_generated_since_they_were_last_counted():
    rows = [
        row(1000, generate=5.0, train=5.0),
        row(3000, generate=3.0, score=1.0, train=4.0, sync=1.0, canary=1.0, validation=90.0),  # 2000 in 10 s
        row(3000, train=4.0),  # the second optimizer step on the same batch
        row(6000, generate=2.0, train=4.0),  # 3000 in 4 + 6 s
        {"time/train": 1.0},
    ]
    assert tokens_per_second(rows) == [None, 200.0, None, 300.0, None]


def test_many_points_become_means_of_stretches():
    assert thinned([1.0, 2.0, 3.0], 5) == [1.0, 2.0, 3.0]
    assert thinned([1.0, 3.0, None, 5.0, None, None], 3) == [2.0, 5.0, None]
    assert thinned([1, 2, 3, 4, 5, 6], 3, last=True) == [2, 4, 6]


def test_a_long_run_is_thinned_and_says_so(tmp_path):
    (run,) = read([make_run(tmp_path / "long", steps=3000, per_step=0)])
    found = of_run(run)
    assert found["averaged"] == 3000
    assert len(found["steps"]) == 2000 and found["steps"][-1] == 3000
    assert {len(values) for values in found["metrics"].values()} == {2000}


def test_a_run_has_its_axes_and_its_metrics(tmp_path):
    (run,) = read([make_run(tmp_path / "run", steps=3, per_step=4)])
    found = of_run(run)
    assert found["steps"] == [1, 2, 3]
    assert found["seconds"] == [0.0, 11.0, 22.0]
    assert found["tokens"] == [50_000.0, 100_000.0, 150_000.0]
    assert found["metrics"][TOKENS_PER_SECOND][1] == pytest.approx(50_000 / 10.7, rel=1e-5)
    assert "step" not in found["metrics"] and "time" not in found["metrics"]
    assert found["averaged"] is None


def test_a_folder_without_a_run_is_an_error_and_equal_names_are_told_apart(tmp_path):
    with pytest.raises(DataError, match=r"no run is here.*give the output_dir of a run"):
        read([tmp_path])
    runs = read([make_run(tmp_path / name / "out", steps=2, per_step=4) for name in ("a", "b")])
    assert [run.name for run in runs] == [str(tmp_path / "a" / "out"), str(tmp_path / "b" / "out")]
