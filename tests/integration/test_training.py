"""Whole runs of `axolotl train` on a tiny random model: what they write, show and learn from."""

import json
import re
from pathlib import Path
from typing import Any

import pandas
import pytest
from safetensors.torch import load_file

from grpo_plugin.cli.export import exported
from tests.trackers import tensorboard, trackio, wandb_offline
from tests.training import HUGGING_FACE, VLLM_PYTHON, Training, finish, function, steps_on, write_recipe

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
needs_vllm = pytest.mark.skipif(not VLLM_PYTHON.exists(), reason="no .venv-vllm: run `make vllm`")

BEGUN = "1+1=2, "
VALIDATION = {"every": 2, "samples": 2, "pass_at": [1, 2], "temperature": 0.7, "top_p": 0.9}


def chats() -> list[dict[str, Any]]:
    """Sums as chats; every other one ends with a message of the assistant that the policy continues."""
    begun = {"role": "assistant", "content": BEGUN}
    return [
        {"prompt": [{"role": "user", "content": f"{i}+1="}, *([begun] if i % 2 else [])], "answer": str(i + 1)}
        for i in range(64)
    ]


@needs_vllm
def test_a_run_with_vllm_validates_logs_and_reports(tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    trackers = {"use_tensorboard": True, "use_wandb": True, "wandb_project": "of-tests", "wandb_mode": "offline"}
    trackers |= {"use_trackio": True, "trackio_project_name": "sums"}
    rollout = {"python": str(VLLM_PYTHON), "max_logp_gap": 0.001, "record_tokens": True}
    saved = {"save_strategy": "steps", "save_steps": 2}
    recipe = write_recipe(tmp_path, validation=VALIDATION, rollout=rollout, **saved, **trackers)
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, chats())))
    screen = finish(Training(recipe))
    rows = steps_on(screen)
    assert [row[0] for row in rows] == ["1", "2", "3", "4"]
    assert all(float(row[7]) < 1e-4 for row in rows), "the log-probability gap"
    for text in ("held-out   after step 0:", "held-out   after step 2:", "Where the time went", "curve.png"):
        assert text in screen
    assert "\x1b" not in screen and "Traceback" not in screen

    out = tmp_path / "out"
    evaluations = [json.loads(line) for line in (out / "evaluations.jsonl").read_text().splitlines()]
    assert [evaluation["step"] for evaluation in evaluations] == [0, 2, 4]
    assert (out / "curve.png").stat().st_size > 10_000
    assert load_file(out / "model.safetensors")
    steps = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [step["step"] for step in steps] == [1, 2, 3, 4]
    assert [f"{step['reward']:.3f}" for step in steps] == [row[1] for row in rows]
    assert (out / "report.html").stat().st_size > 4_000_000 and "report.html" in screen
    assert json.loads((out / "run.json").read_text())["recipe"]["learning_rate"] == 1e-3
    debug = (out / "debug.log").read_text()
    assert debug.count("Starting trainer...") == 1, "Axolotl's lines stand in debug.log, once"

    held_out = pandas.read_parquet(out / "validation")
    assert sorted(held_out["temperature"].unique()) == [0.0, 0.7]
    assert sorted(held_out["step"].unique()) == [0, 2, 4] and sorted(held_out["row"].unique()) == list(range(8))
    trained = pandas.read_parquet(out / "generations").sort_values("step")
    assert len(trained) == 4 * 16 and set(trained["temperature"]) == {1.0}
    assert trained.groupby("step")["policy_version"].first().is_monotonic_increasing
    assert set(trained["finish_reason"]) <= {"stop", "length"}
    total = 0.5 * trained["digits"] + trained["answer_length"]
    assert (trained["reward"] - total).abs().max() < 1e-6
    assert (trained["score_seconds"] > 0).all()
    for name in ("token_texts", "token_logps", "token_advantages"):
        assert (trained[name].map(len) == trained["tokens"]).all(), name
    groups = trained.groupby(["step", "prompt"])["advantage"]
    assert (groups.size() % 4 == 0).all() and groups.mean().abs().max() < 1e-5
    begun = trained["prompt"].str.endswith(BEGUN)
    assert 0 < begun.sum() < len(trained), "the assistant's message is continued, without a second header"
    assert (begun == trained["completion"].str.startswith(BEGUN)).all(), "what graders see begins with it"
    assert (trained["prompt"].str.count("assistant") == trained["prompt"].str.count("user")).all()
    texts = trained["token_texts"].map("".join).str.len()
    assert (texts[~begun] >= trained["completion"].str.len()[~begun]).all()
    check_trackers(tmp_path)
    said = exported(out / "checkpoint-2", tmp_path / "exported")
    proof = re.search(r"as the run recorded 16 completions of these weights, to (\S+) nats per token", said)
    assert proof is not None and float(proof[1]) < 1e-4, said


def check_trackers(folder):
    """Every figure is in each tracker under one name, at its own step."""
    series, config = wandb_offline(folder)
    kept = trackio(folder / "trackio", "sums")
    for written in (series, tensorboard(folder / "out"), kept):
        steps = {name: sorted(values) for name, values in written.items()}
        for name in ("reward", "rewards/digits/mean", "rollout/logp_gap", "loss", "time/train", "time/sync"):
            assert steps[f"train/{name}"] == [1, 2, 3, 4], name
        figures = (
            "accuracy_sampled",
            "accuracy_sampled_stderr",
            "accuracy_greedy",
            "pass@2",
            "completions/mean_length",
        )
        for name in (*(f"eval/{figure}" for figure in figures), "train/time/validation"):
            assert steps[name] == [0, 2, 4], name
        assert written["train/time/validation"][2] > 0
    assert config["validation"]["every"] == 2 and config["algorithm"]["name"] == "grpo"
    assert config["rewards"]["functions"][0]["weight"] == 0.5
    assert series["eval/answers/nrows"] == {0: 2, 2: 2, 4: 2} and 4 in series["curve/path"]
    assert {step: len(table["_value"]) for step, table in kept["eval/answers"].items()} == {0: 2, 2: 2, 4: 2}


def test_a_run_that_learns_nothing_says_so_once_a_window_and_ends_by_patience(tmp_path):
    """All rewards are 0, so that no validation is better than the first; patience comes from the command line."""
    recipe = write_recipe(
        tmp_path,
        trl=HUGGING_FACE,
        rewards={"functions": [function("digits", weight=0.0)]},
        algorithm={"name": "grpo", "kl_coef": 0.0, "alarms": {"window": 4}},
        validation={"every": 2, "best": {"metric": "accuracy_greedy"}},
        max_steps=8,
    )
    screen = finish(Training(recipe, "--validation.patience=2"))
    assert [row[0] for row in steps_on(screen)] == ["1", "2", "3", "4"], "of eight"
    assert "training ends here, for 2 validations in a row were not better; best accuracy_greedy: " in screen
    assert "after step 0" in screen.split("best accuracy_greedy: ")[1]
    assert load_file(tmp_path / "out" / "model.safetensors") and not list(tmp_path.glob("out/checkpoint-*"))
    assert screen.count(": every group scored alike: nothing was learnt from rewards") == 4
    alarms = [json.loads(line) for line in (tmp_path / "out" / "alarms.jsonl").read_text().splitlines()]
    assert [(alarm["step"], alarm["kind"]) for alarm in alarms] == [(1, "groups_mixed"), (3, "zero_gradient")]
    assert screen.count("alarm at step") == 2


def test_a_run_that_goes_wrong_in_every_way_says_each(tmp_path):
    """Steps far too large, a reward for short answers after one for long ones, and a function that fails."""
    functions = [function("first_long_then_short"), function("broken", weight=0.0)]
    recipe = write_recipe(
        tmp_path,
        trl=HUGGING_FACE | {"num_generations": 8, "max_completion_length": 32},
        rewards={"functions": functions, "on_error": "exclude", "max_failed": 1.0},
        algorithm={"name": "grpo", "kl_coef": 1e-6, "alarms": {"window": 4, "reward_stuck": 8, "truncated": 0.03}},
        learning_rate=0.005,
        micro_batch_size=32,
        max_steps=14,
        num_epochs=20,
    )
    finish(Training(recipe))
    alarms = [json.loads(line) for line in (tmp_path / "out" / "alarms.jsonl").read_text().splitlines()]
    kinds = {"entropy", "groups_mixed", "kl", "length", "reward_errors", "reward_stuck", "truncated"}
    assert kinds <= {alarm["kind"] for alarm in alarms}
    first = {alarm["kind"]: alarm["figure"] for alarm in reversed(alarms)}
    assert first["reward_errors"] == "the reward function broken could not score 100.0% of the completions"


RESUMED = {
    # Three optimizer steps for each rollout batch: a stop after step 10 is amid one, with surplus groups in hand.
    "trl": HUGGING_FACE | {"generation_batch_size": 48},
    "algorithm": {
        "name": "dapo",
        "dynamic_sampling": {"low": -0.95},
        "kl_coef": 0.01,
        "kl_target": 0.001,
        "kl_horizon": 320,
    },
    "max_steps": 20,
    "num_epochs": 10,
    "save_strategy": "steps",
    "save_steps": 10,
}
CLOCKS = ("time/", "train_", "total_flos")  # what no two runs have in common


def logged(folder: Path, step: int) -> list[dict[str, float]]:
    """The figures of each logged step up to `step`."""
    state = json.loads((folder / f"checkpoint-{step}" / "trainer_state.json").read_text())
    return [
        {name: value for name, value in line.items() if not name.startswith(CLOCKS)} for line in state["log_history"]
    ]


def prompts_of(folder: Path, step: int) -> list[str]:
    trained = pandas.read_parquet(folder / "generations")
    return trained[trained["step"] == step]["prompt"].tolist()


@pytest.mark.timeout(600)
def test_hugging_face_generates_and_ten_and_ten_resumed_steps_are_twenty(tmp_path):
    """Bit for bit on one process; with two, what was left of the batch and the prompts that come next are the same."""
    whole, parts, ranks = (tmp_path / name for name in ("whole", "parts", "ranks"))
    for folder in (whole, parts, ranks):
        folder.mkdir()
    finish(Training(write_recipe(whole, **RESUMED)))
    recipe = write_recipe(parts, **RESUMED)
    finish(Training(recipe, "--max-steps=10"))
    stopped = parts / "out" / "checkpoint-10"

    screen = finish(Training(recipe, "--auto-resume-from-checkpoints"))
    assert "changed since checkpoint-10: max_steps was 10 and is 20" in screen
    assert [row[0] for row in steps_on(screen)] == [str(step) for step in range(11, 21)]
    ends = [load_file(folder / "out" / "model.safetensors") for folder in (whole, parts)]
    assert all((ends[0][name] == ends[1][name]).all() for name in ends[0])
    lines = logged(whole / "out", 20)
    assert lines == logged(parts / "out", 20)
    coefs = [line["kl_coef"] for line in lines]
    assert len(set(coefs[9:])) > 1 and coefs[10] != 0.01, "the KL coefficient adapts, before and after the stop"
    assert any(line["dynamic_sampling/kept"] > 0 for line in lines[9:12]), "there is a surplus at the stop"
    steps = pandas.read_parquet(parts / "out" / "generations")["step"]
    assert sorted(steps.unique()) == [1, 4, 7, 10, 13, 16, 19], (
        "each batch is logged with the first step that it trains"
    )

    changes = {"base_model": str(parts / "model"), "micro_batch_size": 8, "max_steps": 13}
    recipe = write_recipe(ranks, **RESUMED | changes)
    finish(Training(recipe, f"--resume-from-checkpoint={stopped}", launcher_words=("--num-processes=2",)))
    split = logged(ranks / "out", 13)
    assert [line["loss"] for line in split[:12]] == pytest.approx([line["loss"] for line in lines[:12]], abs=1e-5)
    drawn, expected = prompts_of(ranks / "out", 13), prompts_of(whole / "out", 13)
    shorter = min(len(drawn), len(expected))
    assert drawn[:shorter] == expected[:shorter] and shorter >= 16


@needs_vllm
def test_the_next_batch_is_generated_during_the_update(tmp_path):
    recipe = write_recipe(
        tmp_path, rollout={"python": str(VLLM_PYTHON), "max_logp_gap": 0.001, "lookahead": 1}, max_steps=5
    )
    rows = steps_on(finish(Training(recipe)))
    assert [row[0] for row in rows] == ["1", "2", "3", "4", "5"]
    assert all(float(row[7]) < 1e-4 for row in rows[:-1]), "a probe compares after every sync"
    trained = pandas.read_parquet(tmp_path / "out" / "generations")
    versions = trained.groupby("step")["policy_version"].first()
    assert versions.tolist() == [1, 1, 2, 3, 4], (
        "each batch but the first is drawn by the policy before the last update"
    )
