import io

from grpo_plugin.console.examples import Example, Shown, examples
from grpo_plugin.console.held_out import example_lines, middle_out, sentence, show
from grpo_plugin.console.screen import Screen
from grpo_plugin.rollout.generation_log import GenerationLog, Generations
from grpo_plugin.validation.accuracy import Accuracy, Evaluation


def evaluation(step, part, name="validation"):
    return Evaluation(step, "accuracy", part, {}, {}, name)


def test_an_evaluation_is_one_line():
    part = Accuracy(200, 0.9604, 1.0, {8: 0.75}, {8: 0.9}, {"sampled": 0.0139, "greedy": 0.0}, truncated=0.021)
    assert sentence(evaluation(60, part, "aime24")) == (
        "aime24 after step 60: accuracy sampled 0.960 ± 0.014, greedy 1.000 ± 0.000, pass@8 0.750, maj@8 0.900, "
        "cut off 2.1%"
    )
    assert sentence(evaluation(0, Accuracy(200, None, None))) == "after step 0: accuracy has no score"


def test_an_example_shows_both_completions_side_by_side():
    example = Example("12+30=", "42", Shown(0, "41", 0.0), Shown(20, "", None))
    assert example_lines(example) == [
        "12+30=   (gold: 42)",
        "  step 0, reward 0.000                                 │ step 20, reward -",
        "  41                                                   │ (empty)",
    ]
    assert example_lines(Example("1+1=", None, None, Shown(0, "2", 1.0))) == ["1+1=", "  step 0, reward 1.000", "  2"]


def test_long_completions_keep_their_end_and_stay_within_the_screen():
    text = "Let us think. " * 200 + "The answer is 42."
    lines = example_lines(Example("q" * 400, "42", Shown(0, text, 0.0), Shown(5, "42", 1.0)))
    assert max(map(len, lines)) <= 108
    left = " ".join(line.partition("│")[0].strip() for line in lines)
    assert left.endswith("The answer is 42.") and "step 0, reward 0.000 Let us think." in left


def test_control_characters_of_a_completion_do_not_reach_the_terminal():
    assert middle_out("a\x1b[2Jb\x00\n c") == "a�[2Jb� c"


def log(folder, step, completions, temperature=0.0, name="validation", per_prompt=1):
    """Answers to the problems 0, 1, …, `per_prompt` of each."""
    size = len(completions)
    places = [index // per_prompt for index in range(size)]
    GenerationLog(folder).write(
        step,
        Generations(
            prompts=[f"problem {place}" for place in places],
            completions=completions,
            rewards=[0.5] * size,
            functions={"accuracy": [0.5] * size},
            finish_reasons=["stop"] * size,
            temperature=temperature,
            policy_version=step,
            answers=[str(place) for place in places],
            rows=places,
        ),
        split=name,
    )


def test_examples_compare_the_greedy_answers_of_the_first_and_last_validation(tmp_path):
    log(tmp_path, 0, ["0a", "0b", "0c"])
    log(tmp_path, 5, ["5a", "5b", "5c"])
    written = GenerationLog(tmp_path)
    for temperature, texts in ((1.0, ["s1", "s2", "s3", "s4"]), (0.0, ["g1", "g2"])):
        places = [index // (len(texts) // 2) for index in range(len(texts))]
        batch = Generations(
            prompts=["the same"] * len(texts),
            completions=texts,
            rewards=[1.0] * len(texts),
            functions={},
            finish_reasons=["stop"] * len(texts),
            temperature=temperature,
            policy_version=12,
            rows=places,
        )
        written.write(12, batch, split="validation")
    log(tmp_path, 40, ["of another set"], name="validation-2")
    found = examples(tmp_path, 2)
    assert [(each.before.step, each.before.text, each.after.step, each.after.text) for each in found] == [
        (0, "0a", 12, "g1"),
        (0, "0b", 12, "g2"),
    ]


def test_examples_of_one_validation_and_of_none(tmp_path):
    assert examples(tmp_path, 3) == []
    log(tmp_path, 3, ["a1", "a2", "b1", "b2"], temperature=1.0, per_prompt=2)
    assert [(each.before, each.after.text) for each in examples(tmp_path, 5)] == [(None, "a1"), (None, "b1")]
    assert examples(tmp_path, 0) == []


def test_each_validation_shows_the_same_prompts(tmp_path):
    log(tmp_path, 0, ["bad", "x", "y"])
    log(tmp_path, 5, ["good", "x", "y"])
    stream = io.StringIO()
    show(Screen(stream), [evaluation(5, Accuracy(3, 0.5, None))], examples(tmp_path, 1))
    assert stream.getvalue().splitlines() == [
        "held-out   after step 5: accuracy sampled 0.500",
        "  problem 0   (gold: 0)",
        "    step 0, reward 0.500                                 │ step 5, reward 0.500",
        "    bad                                                  │ good",
    ]
