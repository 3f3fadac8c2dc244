import io
import os
from types import SimpleNamespace

import pytest

from grpo_plugin import run as run_module
from grpo_plugin import session
from grpo_plugin.console.screen import Screen
from grpo_plugin.errors import RecipeError, RewardError
from grpo_plugin.recipe import parse
from grpo_plugin.rollout.server.server_plan import ServerPlan
from grpo_plugin.run import Run
from grpo_plugin.validation.accuracy import Accuracy, Evaluation

VALUES = {
    "base_model": "user/model",
    "plugins": [f"grpo_plugin.{name}Plugin" for name in ("Prompt", "Reward", "Rollout", "Validation")],
    "prompts": {"train": "data.jsonl"},
    "rewards": {"functions": [{"function": "rewards.math.accuracy"}]},
    "rollout": {},
    "validation": {},
    "trl": {"num_generations": 4},
    "axolotl_config_path": "recipe.yaml",
}


@pytest.fixture
def make(tmp_path, monkeypatch):
    """A run of a recipe with changed keys; what its screen shows is in `run.shown()`."""
    for name in ("RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", session.FOLDER, session.SERVER, session.GPUS):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")

    def make(**changes):
        stream = io.StringIO()
        values = VALUES | {"output_dir": str(tmp_path / "out")} | changes
        run = Run(parse({key: value for key, value in values.items() if value is not None}), Screen(stream))
        run.shown = lambda: stream.getvalue().splitlines()
        return run

    return make


@pytest.fixture
def launched(monkeypatch):
    """The run_dirs in which a server was launched; none really is."""
    found = []

    def launch(plan, run_dir, log_path):
        run_dir.rmdir()  # make_run_dir has made it
        found.append((run_dir, log_path, plan.split))
        return object()

    monkeypatch.setattr(ServerPlan, "launch", launch)
    return found


def held_out(run):
    run.prompts = type("Prompts", (), {"validation": {"validation": ["a prompt"]}})()


def test_the_rewards_are_checked_against_the_columns_of_every_set_they_score(make, monkeypatch):
    validation = {"a": {"sources": "a.jsonl", "answer_key": "answer"}, "b": {"sources": "b.jsonl"}}
    run = make(
        prompts={"train": "data.jsonl", "answer_key": "answer", "validation": validation},
        validation={"sets": {"a": {"reward": "rewards.arithmetic.accuracy"}}},
    )
    columns = {"a": ["prompt", "answer"], "b": ["prompt"]}
    sets = {name: SimpleNamespace(column_names=names) for name, names in columns.items()}
    prompts = SimpleNamespace(notes=(), columns=("prompt", "answer"), validation=sets)
    monkeypatch.setattr("grpo_plugin.prompts.recipe_prompts.load_recipe_prompts", lambda *_, **options: (prompts, None))
    run.load_rewards()
    with pytest.raises(RewardError, match="answer"):
        run.load_prompts({})
    columns["b"].append("answer")
    assert run.load_prompts({}) is prompts


def test_there_is_no_run_before_a_plugin_is_registered(monkeypatch):
    monkeypatch.setattr(Run, "_current", None)
    with pytest.raises(RuntimeError, match="none of the grpo_plugin plugins was registered"):
        Run.current()


def test_the_second_plugin_finds_the_run_of_the_first(monkeypatch, make):
    begun = []

    def begin(cfg):
        begun.append(cfg)
        return make().recipe, Screen(io.StringIO())

    monkeypatch.setattr(Run, "_current", None)
    monkeypatch.setattr(run_module.training_process, "begin", begin)
    first = Run.begin({"first": 1})
    assert Run.begin({"second": 2}) is first is Run.current()
    assert begun == [{"first": 1}]


def test_a_run_validates_if_the_recipe_says_so_and_there_are_held_out_prompts(make):
    run = make()
    assert not run.validates, "no prompts are loaded yet"
    held_out(run)
    assert run.validates
    run.prompts.validation = {}
    assert not run.validates
    other = make(plugins=VALUES["plugins"][:3], validation=None)
    held_out(other)
    assert not other.validates


def test_the_main_process_keeps_and_shows_an_evaluation(make, monkeypatch):
    evaluation = Evaluation(20, "accuracy", Accuracy(9, 0.5, None, {8: 0.875}), {}, {"accuracy": 0.5})
    run = make()
    held_out(run)
    run.record([evaluation])
    assert run.shown() == ["held-out   after step 20: accuracy sampled 0.500, pass@8 0.875"]
    assert run.evaluations == [evaluation]
    run.prompts.validation = {}
    assert run.evaluations == [], "an earlier run in the same folder has left them"
    monkeypatch.setenv("RANK", "1")
    other = make(output_dir=str(run.recipe.output_dir / "other"))
    other.record([evaluation])
    assert other.shown() == [] and not other.recipe.output_dir.exists()


def test_the_server_gets_the_last_gpus_and_this_process_the_others(make, launched, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")  # as the launcher has left them
    monkeypatch.setenv(session.GPUS, "0,1,2,3")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    run = make()
    run.start_server()
    run.start_server()
    ((_, log, split),) = launched
    assert (split.trainer, split.server) == (("0", "1", "2"), ("3",))
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0,1,2"
    assert log == run.recipe.output_dir / "vllm.log"
    assert run.shown() == [f"vLLM       starting, log in {log}"]


def test_only_the_main_process_starts_a_server(make, launched, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    run = make()
    run.start_server()
    assert (launched, run.shown()) == ([], [])


def test_no_server_is_started_where_another_serves_or_none_is_wanted(make, launched):
    elsewhere = make(rollout={"url": "http://localhost:8000"})
    elsewhere.start_server()
    without = make(plugins=VALUES["plugins"][:2], rollout=None, validation=None)
    without.start_server()
    assert (launched, elsewhere.shown(), without.shown()) == ([], [], [])
    assert without.make_engine(None) is None


def test_the_launcher_learns_where_the_run_is_until_the_model_is_saved(make, monkeypatch, tmp_path):
    monkeypatch.setenv(session.FOLDER, str(tmp_path))
    run = make()
    (mark,) = tmp_path.glob("training-*")
    with run.watch("waiting for vLLM"):
        assert mark.read_text().strip() == ""
    run.step = 3
    with run.watch("score"):
        assert mark.read_text().strip() == "in step 3 (rewards)"
    assert mark.read_text().strip() == "in step 3 (between its sections)"
    run.rewards = SimpleNamespace(places=lambda: {"accuracy": "trainer", "layout": "workers"}, close=lambda: None)
    with run.watch("score"):
        assert mark.read_text().strip() == "in step 3 (rewards in this process: accuracy)"
    run.finish()
    assert not mark.exists()


def test_the_final_report_comes_once_and_ends_the_reward_workers(make):
    class Rewards:
        closed = 0

        def close(self):
            self.closed += 1

    run = make()
    run.rewards = rewards = Rewards()
    run.finish()
    run.finish()
    assert rewards.closed == 1
    assert run.shown().count("Where the time went") == 1


def test_a_training_that_leaves_no_weights_has_failed(make):
    run = make()
    run.recipe.output_dir.mkdir()
    (run.recipe.output_dir / "config.json").touch()
    with pytest.raises(RecipeError, match=r"output_dir: training ended and left no weights in .*FULL_STATE_DICT"):
        run.check_model()
    (run.recipe.output_dir / "model.safetensors").touch()
    run.check_model()


def test_a_report_that_cannot_be_written_is_a_note(make):
    run = make()
    run.recipe.output_dir.mkdir()
    (run.recipe.output_dir / "metrics.jsonl").write_text("no JSON\n")
    run.finish()
    (note,) = [line for line in run.shown() if "report.html was not written" in line]
    assert "JSONDecodeError" in note and f"axolotl grpo report {run.recipe.output_dir}" in note
    assert "Where the time went" in run.shown(), "the final report still comes"


def test_the_report_is_among_the_outputs(make):
    run = make()
    run.recipe.output_dir.mkdir()
    (run.recipe.output_dir / "metrics.jsonl").write_text('{"step": 1, "time": 1.0, "reward": 0.5}\n')
    run.finish()
    assert any("report" in line and str(run.recipe.output_dir / "report.html") in line for line in run.shown())
