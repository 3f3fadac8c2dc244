"""Charts, validation curves, recipes side by side, and the pages of completions."""

import json
import math

import pyarrow.parquet as pq
import pytest

from grpo_plugin.config.prompts import VALIDATION
from grpo_plugin.console.report.charts import CHARTS, charts
from grpo_plugin.console.report.completions import PAGE, Index, pages
from grpo_plugin.console.report.recipes import as_yaml, differences
from grpo_plugin.console.report.sampling import choose, log_files
from grpo_plugin.console.report.validations import curves
from grpo_plugin.rollout.generation_log import GenerationLog
from grpo_plugin.validation.accuracy import Accuracy, Evaluation
from tests.unit.docs.test_metric_names import is_known, table
from tests.unit.rollout.test_generation_log import batch


def test_a_chart_has_the_metrics_of_its_patterns_and_others_stand_alone():
    found = charts(["rewards/b/mean", "reward", "completions/mean_length", "completions/min_length", "strange"])
    assert [(chart["title"], chart["names"], chart["more"]) for chart in found] == [
        ("Reward", ["reward", "rewards/b/mean"], False),
        ("Length", ["completions/mean_length"], False),
        ("strange", ["strange"], True),
    ]


@pytest.mark.parametrize("pattern", [name for chart in CHARTS for name in (*chart.metrics, *chart.band)])
def test_what_a_chart_shows_is_a_metric(pattern):
    assert pattern == "tokens per second" or is_known(pattern.replace("*", "{}"), table())


def evaluation(step, sampled, held_out=VALIDATION, **fields):
    return Evaluation(step, "accuracy", Accuracy(100, sampled, None, **fields), {}, {}, set=held_out)


def test_validation_is_a_curve_with_its_interval():
    evaluations = [
        evaluation(0, 0.5, stderr={"sampled": 0.05}),
        evaluation(0, 0.25, "aime"),
        evaluation(10, 0.75, stderr={"sampled": 0.0, "maj@4": 0.01}, majority_at={4: 1.0}),
        evaluation(20, None),
    ]
    sampled, majority, other = curves(evaluations)
    assert (sampled["name"], sampled["steps"], sampled["values"]) == ("sampled", [0, 10], [0.5, 0.75])
    assert sampled["low"] == [pytest.approx(0.5 - 1.96 * 0.05), 0.75]
    assert sampled["high"] == [pytest.approx(0.598), 0.75]
    assert (majority["name"], majority["steps"], majority["low"]) == ("maj@4", [10], [pytest.approx(0.9804)])
    assert (other["name"], other["low"]) == ("aime: sampled", [None])


def test_recipes_side_by_side():
    rows = differences([{"a": 1, "trl": {"n": 4, "t": 1.0}}, {"a": 1, "trl": {"n": 8}, "b": []}])
    assert rows == [("trl.n", ["4", "8"]), ("trl.t", ["1.0", ""]), ("b", ["", "[]"])]
    assert as_yaml({"b": 1, "a": {"c": "ü"}}) == "b: 1\na:\n  c: ü\n"
    assert as_yaml({}) == ""


def test_pages_and_the_index_number_completions_alike(tmp_path):
    log = GenerationLog(tmp_path)
    texts = [f"text {number}" for number in range(PAGE + 1)]
    log.write(4, batch(texts, advantages=[None, *[0.5] * PAGE], tokens=range(len(texts))))
    log.write(
        9, batch(("cut",), finish_reasons=["length"], prompts=["another"], extra={"gap": [math.nan]}), "validation"
    )
    index = Index()
    found = list(pages(choose(log_files([tmp_path]), 10**6, 10**9), index))
    assert [len(page) for page in found] == [PAGE, 2]
    assert found[1][0]["completion"] == f"text {PAGE}"
    assert found[1][1]["scores"] == {"accuracy": 1.0, "gap": None}
    assert found[1][1]["facts"]["temperature"] == 1.0 and "tokens" not in found[1][1]
    assert index.columns["step"][-2:] == [4, 9]
    assert index.columns["length"][-2:] == [PAGE, 3], "tokens; without them, characters"
    assert index.columns["validation"][-2:] == [0, 1] and index.columns["truncated"][-2:] == [0, 1]
    assert math.isnan(index.columns["advantage"][0]) and index.columns["advantage"][1] == 0.5
    assert list(index.prompts) == ["2+2=", "another"]


def test_a_log_that_has_no_votes_is_shown_without(tmp_path):
    GenerationLog(tmp_path).write(1, batch(("2",)))
    (path,) = tmp_path.glob("*.parquet")
    pq.write_table(pq.read_table(path).drop_columns(["vote"]), path)
    ((first,),) = pages(choose(log_files([tmp_path]), 10, 10**9), Index())
    assert first["completion"] == "2" and first["facts"]["vote"] is None


def test_tokens_that_were_recorded_are_on_the_page(tmp_path):
    tokens = {"token_texts": [["a", "b"], None], "token_logps": [[-0.12345678, -math.inf], None]}
    GenerationLog(tmp_path).write(1, batch(per_token=tokens))
    ((first, second),) = pages(choose(log_files([tmp_path]), 10, 10**9), Index())
    assert first["tokens"] == {"texts": ["a", "b"], "logps": [-0.1235, None]}
    assert "tokens" not in second


def test_an_episode_is_shown_turn_by_turn(tmp_path):
    call = {"type": "function", "function": {"name": "calculate", "arguments": {"expression": "47 * 38"}}}
    messages = [
        {"role": "assistant", "content": "Let me see.", "tool_calls": [call]},
        {"role": "tool", "name": "calculate", "content": [{"type": "text", "text": "1786"}]},
        {"role": "assistant", "content": "Answer: 1786"},
    ]
    episodes = {"turns": [2, None], "tool_calls": [1, None], "tool_failures": [0, None]}
    GenerationLog(tmp_path).write(1, batch(episodes=episodes | {"messages": [json.dumps(messages), None]}))
    ((first, second),) = pages(choose(log_files([tmp_path]), 10, 10**9), Index())
    assert first["turns"] == [
        {"who": "assistant", "text": 'Let me see.\ncalculate({"expression": "47 * 38"})'},
        {"who": "tool: calculate", "text": "1786"},
        {"who": "assistant", "text": "Answer: 1786"},
    ]
    assert (first["facts"]["turns"], first["facts"]["tool_calls"], first["facts"]["tool_failures"]) == (2, 1, 0)
    assert first["scores"] == {"accuracy": 1.0} and "turns" not in second
