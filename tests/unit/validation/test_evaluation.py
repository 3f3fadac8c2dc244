import json
from itertools import combinations

import pytest

from grpo_plugin.config.validation import ValidationConfig
from grpo_plugin.errors import DataError, RecipeError
from grpo_plugin.validation.accuracy import Accuracy, Evaluation, pass_at_k
from grpo_plugin.validation.evaluation import Answer, Scores, evaluate, grouped, metric_name
from grpo_plugin.validation.evaluation_log import EvaluationLog

ROWS = [
    {"prompt": "1+1=", "answer": 2, "kind": "easy"},
    {"prompt": "12+30=", "answer": 42, "kind": "hard"},
    {"prompt": "2+2=", "answer": 4, "kind": "easy"},
]
# What the policy samples, and its greedy answer, for each prompt.
SAMPLED = {"1+1=": ["2", "2", "3", "2"], "12+30=": ["40", "41", "42", "43"], "2+2=": ["5", "5", "5", "5"]}
GREEDY = {"1+1=": "2", "12+30=": "40", "2+2=": "4"}


def figures(part):
    return dict(part.figures())


def complete(rows, per_prompt, temperature):
    texts = [SAMPLED[row["prompt"]][:per_prompt] if temperature else [GREEDY[row["prompt"]]] for row in rows]
    return [
        [Answer(text, [1, 2], "stop", prompt=row["prompt"]) for text in each]
        for row, each in zip(rows, texts, strict=True)
    ]


def score(rows, answers, per_prompt):
    accuracy = [float(int(answer.text) == row["answer"]) for row, answer in zip(rows, answers, strict=True)]
    return Scores([0.9 * value for value in accuracy], {"accuracy": accuracy, "short": [0.5] * len(answers)})


@pytest.mark.parametrize("n", [1, 4, 7])
def test_pass_at_k_is_the_share_of_draws_with_a_correct_one(n):
    for correct in range(n + 1):
        answers = [True] * correct + [False] * (n - correct)
        for k in range(1, n + 1):
            draws = [any(draw) for draw in combinations(answers, k)]
            assert pass_at_k(n, correct, k) == pytest.approx(sum(draws) / len(draws))


def test_pass_at_k_stays_exact_for_many_samples():
    assert pass_at_k(1000, 1, 1) == pytest.approx(0.001)
    assert pass_at_k(1000, 500, 100) == pytest.approx(1.0)
    with pytest.raises(ValueError, match="pass@9 needs at least 9 completions, got 8"):
        pass_at_k(8, 1, 9)


def test_a_validation_by_hand():
    config = ValidationConfig(samples=4, pass_at=[1, 2], group_by="kind")
    evaluation, judged = evaluate(5, ROWS, complete, score, config, temperature=1.0)
    # 3 of 4, 1 of 4 and 0 of 4 samples are right; pass@2 misses both of 4 in C(1,2)/6, C(3,2)/6 and C(4,2)/6.
    assert figures(evaluation.overall) == {
        "sampled": 4 / 12,
        "greedy": 2 / 3,
        "pass@1": pytest.approx(4 / 12),
        "pass@2": pytest.approx((1 + 0.5 + 0) / 3),
    }
    easy, hard = evaluation.groups["easy"], evaluation.groups["hard"]
    assert (easy.prompts, figures(easy)) == (
        2,
        {"sampled": 3 / 8, "greedy": 1.0, "pass@1": pytest.approx(3 / 8), "pass@2": 0.5},
    )
    assert (hard.prompts, figures(hard)) == (1, {"sampled": 1 / 4, "greedy": 0.0, "pass@1": 0.25, "pass@2": 0.5})
    assert easy.stderr.keys() == {"sampled", "greedy", "pass@1", "pass@2"} and hard.stderr == {}
    assert evaluation.rewards == {"accuracy": 4 / 12, "short": 0.5}
    assert evaluation.logs()["eval_accuracy_sampled/easy"] == 3 / 8
    assert evaluation.logs()["eval_rewards/short/mean"] == 0.5
    assert [(each.temperature, len(each.answers)) for each in judged] == [(1.0, 12), (0.0, 3)]


def test_answers_reach_the_log_beside_their_prompts():
    _, (sampled, greedy) = evaluate(0, ROWS, complete, score, ValidationConfig(samples=2), temperature=0.7)
    batch = sampled.generations(policy_version=9)
    assert batch.prompts == ["1+1=", "1+1=", "12+30=", "12+30=", "2+2=", "2+2="]
    assert batch.completions == ["2", "2", "40", "41", "5", "5"]
    assert batch.answers == ["2", "2", "42", "42", "4", "4"]
    assert batch.rewards[:3] == [0.9, 0.9, 0.0]
    assert (batch.temperature, batch.policy_version, batch.advantages) == (0.7, 9, None)
    assert (batch.rows, batch.tokens, batch.votes) == ([0, 0, 1, 1, 2, 2], [2] * 6, None)
    assert greedy.generations(9).completions == ["2", "40", "4"]


def test_votes_of_equivalent_answers_make_the_majority():
    def voting(rows, answers, per_prompt):
        texts = [answer.text for answer in answers]
        votes = [texts.index(text) for text in texts] if per_prompt > 1 else None
        return Scores(**{**vars(score(rows, answers, per_prompt)), "votes": votes})

    config = ValidationConfig(samples=4, majority_at=[3, 4])
    evaluation, (sampled, _) = evaluate(0, ROWS, complete, voting, config, temperature=1.0)
    # "2" has 3 of 4 votes; of four different answers one is right; "5" is wrong.
    assert evaluation.overall.majority_at == {
        3: pytest.approx((1 + 0.25 + 0) / 3),
        4: pytest.approx((1 + 0.25 + 0) / 3),
    }
    assert evaluation.logs()["eval_maj@4"] == evaluation.overall.majority_at[4]
    assert sampled.generations(9).votes[:4] == [0, 0, 2, 0]


def test_the_share_cut_off_and_the_lengths_are_those_of_the_samples():
    lengths = iter(
        [(3, "stop"), (8, "length"), (5, "stop"), (1, "stop"), (8, "length"), (8, "length"), *[(9, "stop")] * 3]
    )

    def lengthy(rows, per_prompt, temperature):
        return [[Answer("2", [0] * n, why) for n, why in (next(lengths) for _ in range(per_prompt))] for _ in rows]

    evaluation, _ = evaluate(0, ROWS, lengthy, score, ValidationConfig(samples=2, group_by="kind"), temperature=1.0)
    part, easy = evaluation.overall, evaluation.groups["easy"]
    assert (part.truncated, part.mean_length, part.mean_terminated_length, part.max_length) == (0.5, 33 / 6, 3.0, 8)
    assert (easy.truncated, easy.mean_length, easy.mean_terminated_length) == (0.75, 27 / 4, 3.0)
    assert evaluation.logs()["eval_completions/clipped_ratio/easy"] == 0.75


def test_a_named_set_has_its_name_in_every_metric():
    config = ValidationConfig(samples=2, pass_at=[2])
    evaluation, _ = evaluate(3, ROWS, complete, score, config, temperature=1.0, name="aime24")
    assert (evaluation.set, evaluation.samples) == ("aime24", 2)
    assert {name.split("/")[0] for name in evaluation.logs()} == {"eval_aime24"}
    assert "eval_aime24/pass@2_stderr" in evaluation.logs() and "eval_aime24/rewards/short/mean" in evaluation.logs()


def test_abstentions_are_left_out_of_every_mean():
    def abstaining(rows, answers, per_prompt):
        values = [None, 1.0, 0.0, None, None, None]
        return Scores(values[: len(answers)], {"accuracy": values[: len(answers)]})

    config = ValidationConfig(samples=2, pass_at=[2], greedy=False)
    evaluation, judged = evaluate(0, ROWS, complete, abstaining, config, temperature=1.0)
    assert figures(evaluation.overall) == {"sampled": 0.5, "pass@2": None}
    logged = {name: value for name, value in evaluation.logs().items() if "completions" not in name}
    assert logged.keys() == {"eval_rewards/accuracy/mean", "eval_accuracy_sampled", "eval_accuracy_sampled_stderr"}
    assert logged["eval_rewards/accuracy/mean"] == logged["eval_accuracy_sampled"] == 0.5
    assert len(judged) == 1


def test_partial_scores_are_correct_from_the_threshold():
    def graded(rows, answers, per_prompt):
        values = [0.4, 0.6, 0.6, 0.4, 0.4, 0.4]
        return Scores(values, {"iou": values})

    config = ValidationConfig(samples=2, pass_at=[2], greedy=False, correct_from=0.5)
    evaluation, _ = evaluate(0, ROWS, complete, graded, config, temperature=1.0)
    assert evaluation.overall.sampled == pytest.approx(2.8 / 6)
    assert evaluation.overall.pass_at == {2: pytest.approx(2 / 3)}


def test_max_prompts_and_metric():
    config = ValidationConfig(samples=1, max_prompts=2, metric="short")
    evaluation, judged = evaluate(0, iter(ROWS), complete, score, config, temperature=1.0)
    assert evaluation.metric == "short"
    assert figures(evaluation.overall) == {"sampled": 0.5, "greedy": 0.5}
    assert [row["prompt"] for row in judged[0].rows] == ["1+1=", "12+30="]


def test_what_cannot_be_validated_is_an_error_with_a_remedy():
    config = ValidationConfig()
    with pytest.raises(DataError, match=r"prompts\.validation: no held-out prompts"):
        evaluate(0, [], complete, score, config, temperature=1.0)
    with pytest.raises(DataError, match=r"validation\.group_by: .* no column 'kinds'; did you mean 'kind'\?"):
        grouped(ROWS, "kinds")
    with pytest.raises(RecipeError, match=r"metric: no reward function 'acuracy'; did you mean 'accuracy'\?"):
        metric_name("acuracy", ["format", "accuracy"])
    with pytest.raises(RecipeError, match=r"no reward function 'helpfulness'; known: accuracy, format\."):
        metric_name("helpfulness", ["accuracy", "format"])
    with pytest.raises(ValueError, match="expected 2 completions for each of 3 held-out prompts"):
        evaluate(0, ROWS, lambda *_: complete(ROWS, 1, 1.0), score, ValidationConfig(samples=2), temperature=1.0)


def test_pass_at_more_than_the_samples_is_refused_when_the_recipe_is_read():
    with pytest.raises(RecipeError, match="'pass_at' 8 needs as many samples, but 'samples' is 4; raise 'samples'"):
        ValidationConfig.parse("validation", {"samples": 4, "pass_at": [1, 8]})
    with pytest.raises(RecipeError, match=r"validation\.pass_at\[0\]"):
        ValidationConfig.parse("validation", {"pass_at": [0]})


def evaluation_at(step, sampled=0.5, name="validation"):
    part = Accuracy(3, sampled, None, {1: sampled, 8: None}, {8: 0.25}, {"sampled": 0.1}, 0.5, 10.0, None, 16)
    return Evaluation(step, "accuracy", part, {"easy": part}, {"accuracy": sampled, "format": None}, name, 8)


def test_the_evaluation_log_survives_a_resume(tmp_path):
    path = tmp_path / "output" / "evaluations.jsonl"
    assert EvaluationLog(path).read() == []
    for step in (0, 10, 20):
        EvaluationLog(path).write([evaluation_at(step), evaluation_at(step, name="aime")])
    EvaluationLog(path).write([evaluation_at(10, sampled=0.75)])
    assert EvaluationLog(path).read() == [
        evaluation_at(0),
        evaluation_at(0, name="aime"),
        evaluation_at(10, sampled=0.75),
    ]
    assert [entry.name for entry in path.parent.iterdir()] == ["evaluations.jsonl"]


@pytest.mark.parametrize(("step", "left"), [(0, []), (10, [0, 10])])
def test_a_run_begins_without_the_evaluations_that_an_earlier_one_left(tmp_path, step, left):
    log = EvaluationLog(tmp_path / "evaluations.jsonl")
    log.keep_until(step)
    for number in (0, 10, 20):
        log.write([evaluation_at(number)])
    log.keep_until(step)
    assert [evaluation.step for evaluation in log.read()] == left


def test_one_set_is_evaluated_again_without_the_others(tmp_path):
    log = EvaluationLog(tmp_path / "evaluations.jsonl")
    for evaluation in (evaluation_at(0), evaluation_at(0, name="aime"), evaluation_at(0, sampled=0.75)):
        log.replace([evaluation])
    assert log.read() == [evaluation_at(0, name="aime"), evaluation_at(0, sampled=0.75)]


def test_the_log_of_an_earlier_version_is_read(tmp_path):
    path = tmp_path / "evaluations.jsonl"
    part = {"prompts": 3, "sampled": 0.5, "greedy": None, "pass_at": {"8": 0.75}}
    line = {"step": 5, "metric": "accuracy", "overall": part, "groups": {}, "rewards": {"accuracy": 0.5}}
    path.write_text(json.dumps(line) + "\n")
    (evaluation,) = EvaluationLog(path).read()
    assert (evaluation.set, evaluation.overall.pass_at, evaluation.overall.truncated) == ("validation", {8: 0.75}, None)
