from click.testing import CliRunner

from grpo_plugin.cli.report import report
from tests.unit.console.run_folders import make_run


def test_one_run_has_its_report_in_its_folder_and_several_where_asked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runs = [str(make_run(tmp_path / name, steps=4, per_step=8)) for name in ("one", "two")]
    alone = CliRunner().invoke(report, runs[:1])
    assert alone.exit_code == 0, alone.output
    assert f"{runs[0]}: All 40 completions of the run." in alone.output
    assert (tmp_path / "one" / "report.html").stat().st_size > 4_000_000, "Plotly is in it"
    both = CliRunner().invoke(report, [*runs, "--completions", "32"])
    assert "24 of the run's 40 completions: those of 3 of 5 steps" in both.output
    assert "<title>one, two</title>" in (tmp_path / "report.html").read_text()[:2000]


def test_a_folder_without_a_run_is_one_sentence_and_exit_code_2(tmp_path):
    result = CliRunner().invoke(report, [str(tmp_path)])
    assert result.exit_code == 2
    assert not list(tmp_path.iterdir())
