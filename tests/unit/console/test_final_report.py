import io

from grpo_plugin.console.examples import Example, examples
from grpo_plugin.console.final_report import (
    FinalReport,
    accuracy_lines,
    commands,
    example_lines,
    middle_out,
    of_run,
    sentence,
    time_lines,
)
from grpo_plugin.console.screen import Screen
from grpo_plugin.console.timing import Stopwatch
from grpo_plugin.recipe import parse
from grpo_plugin.rollout.generation_log import GenerationLog, Generations
from grpo_plugin.validation.evaluation import Accuracy, Evaluation


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


def test_an_example_shows_both_completions():
    example = Example("12+30=", "41", "", "42", 0.0, None)
    assert example_lines(example) == [
        "prompt  12+30=",
        "before  41   (reward 0.000)",
        "after   (empty)   (reward -)",
        "gold    42",
    ]
    assert [line.split()[0] for line in example_lines(Example("1+1=", None, "2", None, None, 1.0))] == [
        "prompt",
        "after",
    ]


def test_long_completions_keep_their_end_and_stay_within_the_screen():
    text = "Let us think. " * 200 + "The answer is 42."
    lines = example_lines(Example("q", text, "42", "42", 0.0, 1.0))
    assert max(map(len, lines)) <= 108
    assert "The answer is 42. (reward 0.000)" in " ".join(" ".join(lines).split())
    assert lines[1].startswith("before  Let us think.")


def test_control_characters_of_a_completion_do_not_reach_the_terminal():
    assert middle_out("a\x1b[2Jb\x00\n c") == "a�[2Jb� c"


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


def test_the_commands_for_a_model_and_for_an_adapter():
    found = {
        "chat": "axolotl grpo chat my/recipe.yaml --model=out",
        "serve": "axolotl grpo serve my/recipe.yaml --model=out --host=127.0.0.1",
    }
    assert commands(parse(RECIPE)) == found
    export = {"export": "axolotl grpo export out --out=out/merged"}
    assert commands(parse(RECIPE | {"adapter": "lora"})) == found | export


def test_a_run_s_report_names_the_outputs_that_exist(tmp_path):
    for name in ("curve.png", "debug.log"):
        (tmp_path / name).touch()
    log_validation(tmp_path / "generations", 0, ["a", "b", "c", "d"], 0.0)
    recipe, watch = parse(RECIPE | {"output_dir": str(tmp_path)}), Stopwatch()
    report = of_run(recipe, [], watch)
    assert report.outputs == {
        "model": str(tmp_path),
        "curve": str(tmp_path / "curve.png"),
        "completions": str(tmp_path / "generations"),
        "debug log": str(tmp_path / "debug.log"),
    }
    assert report.examples == [], "the completions of an earlier run"
    assert [each.after for each in of_run(recipe, [evaluation(0, 0.5)], watch).examples] == ["a", "b", "c"]


def test_an_evaluation_is_one_line():
    assert sentence(evaluation(60, 0.9604, 1.0)) == (
        "after step 60: accuracy sampled 0.960, greedy 1.000, pass@8 0.750"
    )
    assert sentence(evaluation(0, None)) == "after step 0: accuracy has no score"


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
        ),
        split="validation",
    )


def test_examples_compare_the_greedy_answers_of_the_first_and_last_validation(tmp_path):
    log_validation(tmp_path, 0, ["0a", "0b", "0c", "0d"], 0.0)
    log_validation(tmp_path, 5, ["5a", "5b", "5c", "5d"], 0.0)
    log = GenerationLog(tmp_path)
    for temperature, letter in ((1.0, "sampled"), (0.0, "greedy")):
        batch = Generations(
            prompts=["problem 0", "problem 0", "problem 1"],
            completions=[f"{letter} 1", f"{letter} 2", f"{letter} 3"],
            rewards=[1.0, 0.0, None],
            functions={"accuracy": [1.0, 0.0, None]},
            finish_reasons=["stop"] * 3,
            temperature=temperature,
            policy_version=12,
            answers=["4", "4", None],
        )
        log.write(12, batch, split="validation")
    assert examples(tmp_path) == [
        Example("problem 0", "0a", "greedy 1", "4", 0.0, 1.0),
        Example("problem 1", "0b", "greedy 3", None, 0.0, None),
    ]


def test_examples_of_one_validation_and_of_none(tmp_path):
    assert examples(tmp_path) == []
    log_validation(tmp_path, 3, ["a", "b", "c", "d"], 1.0, rewards=[1.0, 0.5, 0.0, 0.0])
    found = examples(tmp_path)
    assert [(each.before, each.after, each.reward_after) for each in found] == [
        (None, "a", 1.0),
        (None, "b", 0.5),
        (None, "c", 0.0),
    ]
