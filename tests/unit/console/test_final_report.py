import io

from grpo_plugin.console.final_report import (
    FinalReport,
    accuracy_lines,
    commands,
    of_run,
    time_lines,
)
from grpo_plugin.console.screen import Screen
from grpo_plugin.console.timing import Stopwatch
from grpo_plugin.recipe import parse
from grpo_plugin.rollout.generation_log import GenerationLog, Generations
from grpo_plugin.validation.accuracy import Accuracy, Evaluation


def evaluation(step, sampled, greedy=None, groups=()):
    part = Accuracy(200, sampled, greedy, {8: 0.75} if step else {})
    return Evaluation(step, "accuracy", part, dict.fromkeys(groups, part), {"accuracy": sampled})


def test_accuracy_before_and_after():
    assert accuracy_lines(evaluation(0, 0.441, 0.6), evaluation(60, 0.96, 0.985)) == [
        "         before (step 0)  after (step 60)  change",
        "sampled            0.441            0.960  +0.519",
        "greedy             0.600            0.985  +0.385",
        "pass@8                 -            0.750       -",
    ]


def test_accuracy_of_a_single_evaluation_and_of_many_groups():
    assert accuracy_lines(evaluation(0, 0.5), evaluation(0, 0.5)) == ["         step 0", "sampled   0.500"]
    lines = accuracy_lines(*[evaluation(0, None, groups=[f"g{index}" for index in range(23)])] * 2)
    assert lines[2] == "sampled, g0        -"
    assert len(lines) == 1 + 1 + 20 + 1
    assert lines[-1] == "… and 3 more groups"


def test_accuracy_with_errors_and_what_was_cut_off():
    before = Accuracy(200, 0.5, None, stderr={"sampled": 0.035}, truncated=0.25, mean_length=30.0)
    after = Accuracy(200, 0.75, None, stderr={"sampled": 0.03}, truncated=0.02, mean_length=20.5)
    lines = accuracy_lines(Evaluation(0, "accuracy", before, {}, {}), Evaluation(9, "accuracy", after, {}, {}))
    assert lines == [
        "         before (step 0)  after (step 9)  change",
        "sampled    0.500 ± 0.035   0.750 ± 0.030  +0.250",
        "cut off            25.0%            2.0%  -23.0%",
        "tokens              30.0            20.5    -9.5",
    ]


def test_each_set_has_a_section():
    def of_set(step, name, samples):
        return Evaluation(step, "accuracy", Accuracy(30, 0.5, None), {}, {}, name, samples)

    stream = io.StringIO()
    evaluations = [of_set(step, name, n) for step in (0, 5) for name, n in (("aime24", 32), ("math500", 1))]
    FinalReport(evaluations, [], {}, 1.0, {}, {}).show(Screen(stream))
    shown = stream.getvalue()
    assert "Held-out aime24: accuracy, 30 prompts, mean of 32 samples\n" in shown
    assert "Held-out math500: accuracy, 30 prompts\n" in shown
    assert shown.count("before (step 0)  after (step 5)") == 2


def test_time_adds_up_to_the_whole():
    assert time_lines({"sync": 5.0, "train": 50.0, "waiting for vLLM": 20.0}, 100.0) == [
        "train              50.0 s   50.0%",
        "waiting for vLLM   20.0 s   20.0%",
        "weights to vLLM     5.0 s    5.0%",
        "other              25.0 s   25.0%",
        "total             100.0 s  100.0%",
    ]
    assert time_lines({"train": 3600.0}, 7200.0) == [
        "train  1:00:00   50.0%",
        "other  1:00:00   50.0%",
        "total  2:00:00  100.0%",
    ]


def test_the_report_leaves_out_what_there_is_not():
    stream = io.StringIO()
    FinalReport([], [], {"train": 1.0}, 2.0, {"model": "/out/" + "long/" * 40}, {}).show(Screen(stream))
    assert stream.getvalue().splitlines() == [
        "",
        "Where the time went",
        "  train  1.0 s   50.0%",
        "  other  1.0 s   50.0%",
        "  total  2.0 s  100.0%",
        "",
        "Outputs",
        "  model  /out/" + "long/" * 40,
    ]


RECIPE = {
    "base_model": "user/model",
    "plugins": ["grpo_plugin.RewardPlugin"],
    "rewards": {"functions": [{"function": "rewards.math.accuracy"}]},
    "axolotl_config_path": "my/recipe.yaml",
    "output_dir": "out",
}
VALIDATING = RECIPE | {
    "plugins": [f"grpo_plugin.{name}Plugin" for name in ("Prompt", "Reward", "Validation")],
    "prompts": {"train": "data.jsonl"},
}


def test_the_commands_for_a_model_and_for_an_adapter():
    found = {
        "chat": "axolotl grpo chat my/recipe.yaml --model=out",
        "serve": "axolotl grpo serve my/recipe.yaml --model=out --host=127.0.0.1",
    }
    assert commands(parse(RECIPE)) == found
    export = {"export": "axolotl grpo export out --out=out/merged"}
    assert commands(parse(RECIPE | {"adapter": "lora"})) == found | export


def test_a_run_s_report_names_the_outputs_that_exist(tmp_path):
    for name in ("model.safetensors", "curve.png", "debug.log"):
        (tmp_path / name).touch()
    (tmp_path / "generations").mkdir()
    log_validation(tmp_path / "validation", 0, ["a", "b", "c", "d"], 0.0)
    recipe, watch = parse(RECIPE | {"output_dir": str(tmp_path)}), Stopwatch()
    report = of_run(recipe, [], watch)
    assert report.outputs == {
        "model": str(tmp_path),
        "curve": str(tmp_path / "curve.png"),
        "completions": str(tmp_path / "generations"),
        "held-out": str(tmp_path / "validation"),
        "debug log": str(tmp_path / "debug.log"),
    }
    assert report.examples == [], "the completions of an earlier run"
    validating = parse(VALIDATING | {"output_dir": str(tmp_path)})
    assert [each.after.text for each in of_run(validating, [evaluation(0, 0.5)], watch).examples] == ["a", "b"]


def test_a_run_that_only_validates_has_no_model_to_name(tmp_path):
    (tmp_path / "debug.log").touch()
    only = VALIDATING | {"output_dir": str(tmp_path), "validation": {"only": True}}
    only["prompts"] = {"validation": "data.jsonl"}
    report = of_run(parse(only), [], Stopwatch())
    assert report.outputs == {"debug log": str(tmp_path / "debug.log")} and report.commands == {}


def log_validation(folder, step, completions, temperature, rewards=None):
    """One answer to each of four problems."""
    size = len(completions)
    GenerationLog(folder).write(
        step,
        Generations(
            prompts=[f"problem {index}" for index in range(size)],
            completions=completions,
            rewards=rewards or [0.0] * size,
            functions={"accuracy": [0.0] * size},
            finish_reasons=["stop"] * size,
            temperature=temperature,
            policy_version=step,
            answers=["4", None, "6", "7"],
            rows=range(size),
        ),
        split="validation",
    )
