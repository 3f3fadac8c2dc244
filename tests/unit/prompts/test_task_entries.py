"""Rows that reasoning-gym makes, with the real package: the same as its own, and verified after their way as text."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from grpo_plugin.cli.check_rewards import check_rewards
from grpo_plugin.cli.stats import stats
from grpo_plugin.compat import reasoning_gym_package
from grpo_plugin.config.rewards import RewardsConfig
from grpo_plugin.errors import DataError, RewardError
from grpo_plugin.planning.data_problems import data_problems
from grpo_plugin.planning.row_count import count_rows
from grpo_plugin.prompts import task_entries
from grpo_plugin.prompts.task_entries import entry_rows, entry_text, read_entry
from grpo_plugin.recipe import check, read
from grpo_plugin.recipe.sources import Task
from grpo_plugin.scoring import load
from rewards.reasoning_gym import score
from tests.gym import need_reasoning_gym


@pytest.fixture(autouse=True)
def package() -> None:
    need_reasoning_gym()


RECIPE = """\
base_model: any
plugins: [grpo_plugin.PromptPlugin, grpo_plugin.RewardPlugin]
learning_rate: 1.0e-6
prompts: {train: TRAIN, size: 12, seed: 1}
rewards:
  workers: 0
  functions: [{function: rewards.reasoning_gym.score}]
"""


def entries(name: str, size: int = 3, **options) -> list[str]:
    return [row[task_entries.COLUMN] for row in entry_rows(Task(name, size, 1, options))]


def written(folder: Path, train: str) -> str:
    (folder / "recipe.yaml").write_text(RECIPE.replace("TRAIN", train))
    return str(folder / "recipe.yaml")


def test_rows_are_the_packages_own(prompts):
    import reasoning_gym

    source = {"source": "reasoning_gym:chain_sum", "size": 5, "seed": 7, "options": {"min_terms": 4, "max_terms": 4}}
    data = prompts(train=source, prompt_key="question", answer_key="answer")
    own = reasoning_gym.create_dataset("chain_sum", size=5, seed=7, min_terms=4, max_terms=4)
    assert [row["prompt"][0]["content"] for row in data.train] == [entry["question"] for entry in own]
    assert data.train["answer"] == [entry["answer"] for entry in own]
    assert data.train["task"] == ["chain_sum"] * 5
    assert data.columns == ("prompt", "question", "task", "reasoning_gym", "answer")
    assert [read_entry(text)[2] for text in data.train["reasoning_gym"]] == list(own)


def test_tasks_mix_with_weights_and_with_files(jsonl, prompts):
    jsonl([{"prompt": "What is 1+1?"}] * 4)
    sums = {"source": "reasoning_gym:chain_sum", "size": 6, "weight": 3}
    data = prompts(train=[sums, {"source": "reasoning_gym:gcd", "size": 2}, "train.jsonl"])
    assert sorted(data.train["task"], key=str) == [None] * 2 + ["chain_sum"] * 7 + ["gcd"] * 3
    assert score(["<answer>2</answer>"] * 12, data.train["reasoning_gym"]).count(None) == 2


def test_held_out_rows_are_others_of_the_same_task(prompts):
    data = prompts(train="reasoning_gym:chain_sum", validation="reasoning_gym:chain_sum", size=20)
    assert not {str(row["prompt"]) for row in data.train} & {
        str(row["prompt"]) for row in data.validation["validation"]
    }


def test_other_options_make_other_rows_though_the_block_is_the_same(prompts):
    def longest(terms: int) -> int:
        options = {"min_terms": terms, "max_terms": terms}
        return max(
            len(p[0]["content"]) for p in prompts(train="reasoning_gym:chain_sum", options=options).train["prompt"]
        )

    assert longest(2) < longest(6)  # and not those that the cache has of the others


def test_every_task_accepts_its_own_answer_after_its_way_as_text():
    from reasoning_gym.factory import DATASETS

    reasoning_gym_package.load()
    tried = 0
    for name in sorted(DATASETS.keys() - {"composite", "knight_swap"}):  # the latter takes half a second for each
        for text in entries(name, 2):
            if (answer := read_entry(text)[2]["answer"]) is not None:
                assert score([f"<think>0</think> <answer>{answer}</answer>"], [text]) == [1.0], name
                tried += 1
    assert tried > 190


def test_tuples_and_keys_that_are_no_text_come_back():
    entry = {"a": (1, [2, (3,)]), "b": {1: "x", (2, 3): None}, "c": 2**70, "__tuple__": [1]}
    text = entry_text("chain_sum", {}, {"answer": "1", "metadata": entry})
    assert read_entry(text)[2]["metadata"] == entry


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("chain_summ", {}, "no such task; did you mean 'chain_sum'"),
        ("composite", {}, "no such task"),
        ("chain_sum", {"min_trems": 2}, "unknown option 'min_trems'; did you mean 'min_terms'"),
        ("chain_sum", {"seed": 2}, "'seed' stands among the options; write it beside them"),
        ("chain_sum", {"min_terms": 9, "max_terms": 2}, r"refused \(max_terms must be >= min_terms\)"),
        ("chain_sum", {"min_terms": "x"}, "are refused"),
    ],
)
def test_mistakes(name, options, words):
    with pytest.raises(DataError, match=f"^reasoning_gym:{name}: .*{words}"):
        entries(name, **options)


def test_answers_that_score_low():
    text, gold = entries("chain_sum", 1)[0], read_entry(entries("chain_sum", 1)[0])[2]["answer"]
    partly = len(gold) / (len(gold) + 1)  # the verifier's own: the gold answer is a part of it
    texts = [gold, "", "<answer> </answer>", f"<answer>{gold}1</answer><answer>1"]
    assert score(texts, [text] * 4) == [0, 0, 0, partly]
    assert score([f"<answer>0</answer> <answer>\n{gold}\n</answer>"], [text]) == [1.0]
    assert score([f"<think>1</think>\n{gold}"], [text], answer_in="text") == [1.0]
    assert score([rf"So \boxed{{{gold}}}.", r"\boxed{"], [text] * 2, answer_in="boxed") == [1.0, 0.0]
    assert score([f"<answer>{gold}1</answer>"], [text], all_or_nothing=True) == [0.0]
    with pytest.raises(RewardError, match="answer_in: 'tag' is not known; write one of tags, boxed, text"):
        score([gold], [text], answer_in="tag")


def test_a_verifier_that_fails_on_an_answer_scores_it_low_and_on_its_own_answer_is_an_error(caplog):
    text = entries("prime_factorization", 1)[0]
    assert score(["<answer>x × y</answer>"], [text]) == [0.0]
    values = json.loads(text)
    values["entry"]["answer"] = "x × y"
    with pytest.raises(RewardError, match="prime_factorization: its verifier fails on the entry's own answer"):
        score(["<answer>a × b</answer>"], [json.dumps(values)])


@pytest.mark.parametrize("task", ["n_queens", "spiral_matrix", "string_insertion", "binary_matrix", "countdown"])
def test_no_answer_is_run_as_a_program(task, tmp_path):
    """Each would write a file if it were; the two programs are those that `eval` and sympy's `parse_expr` would run."""
    path = [f"chr({ord(letter)})" for letter in str(tmp_path / "written")]
    programs = [f"[open('{tmp_path}/written', 'w')]", f"open({' + '.join(path)}, chr(119))", "().__class__"]
    (text,) = entries(task, 1)
    for program in programs:
        assert score([f"<answer>{program}</answer>"], [text])[0] < 1
        assert list(tmp_path.iterdir()) == []


def test_the_verifier_runs_in_workers(tmp_path):
    functions = [{"function": "rewards.reasoning_gym.score"}]
    rewards = load(RewardsConfig.parse("rewards", {"functions": functions, "workers": 1, "timeout": 60}), tmp_path)
    texts = entries("chain_sum", 2)
    answers = [read_entry(text)[2]["answer"] for text in texts]
    try:
        completions = [f"<answer>{answers[0]}</answer>", "<answer>x</answer>"]
        scores = rewards.score(["p", "q"], completions, [[1], [1]], {task_entries.COLUMN: texts})
    finally:
        rewards.close()
    assert scores.by_function == [[1.0, 0.0]] and rewards.places() == {"score": "workers"}


def test_check_rewards_knows_entries_and_puzzles_without_one_answer(tmp_path):
    train = "[reasoning_gym:chain_sum, reasoning_gym:graph_color]"
    result = CliRunner().invoke(check_rewards, [written(tmp_path, train)])
    assert result.exit_code == 0, result.output
    assert "rewards on 24 rows" in result.output and "reasoning_gym" in result.output
    nothing = RECIPE.replace("score}", "score, kwargs: {answer_in: boxed, all_or_nothing: true}, weight: 2}")
    (tmp_path / "recipe.yaml").write_text(nothing.replace("TRAIN", "reasoning_gym:gsm_symbolic"))
    assert CliRunner().invoke(check_rewards, [str(tmp_path / "recipe.yaml")]).exit_code == 0


def test_check_rewards_finds_a_place_where_no_answer_stands(tmp_path):
    (tmp_path / "own.py").write_text("def wrong(completions, reasoning_gym): return [0.5] * len(completions)\n")
    path = Path(written(tmp_path, "reasoning_gym:chain_sum"))
    path.write_text(path.read_text().replace("rewards.reasoning_gym.score", "own.py:wrong"))
    result = CliRunner().invoke(check_rewards, [str(path)])
    assert result.exit_code == 1 and "scores an empty completion as high as the gold answer in 12 rows" in result.output


def test_plan_counts_the_rows_and_names_a_mistake(tmp_path):
    recipe = check(read(written(tmp_path, "reasoning_gym:chain_sum")))
    assert count_rows(recipe) == 12 and list(data_problems(recipe)) == []
    (problem,) = data_problems(check(read(written(tmp_path, "reasoning_gym:chain_summ"))))
    assert "did you mean 'chain_sum'" in problem


def test_stats_measure_what_is_made(tmp_path, monkeypatch):
    from .vocabularies import qwen, wrapped

    wrapped(qwen()).save_pretrained(tmp_path / "tokenizer")
    arguments = ["--dataset", "reasoning_gym:chain_sum", "--tokenizer", str(tmp_path / "tokenizer"), "--json"]
    result = CliRunner().invoke(stats, arguments)
    assert result.exit_code == 0, result.output
    (measured,) = json.loads(result.output).values()
    assert measured["prompt"]["rows"] == 500
