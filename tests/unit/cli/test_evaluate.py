"""`axolotl grpo evaluate` with a server that answers as the test says; prompts, rewards, figures and files are real."""

import json
import shutil
from pathlib import Path

import pandas
import pytest
import yaml
from click.testing import CliRunner
from transformers import AutoTokenizer

from grpo_plugin.cli import evaluate as command
from grpo_plugin.config.rollout import RolloutConfig
from grpo_plugin.quickstart.templates import CHAT_WITH_TOOLS
from grpo_plugin.recipe import parse
from grpo_plugin.rollout.client.responses import Completion
from grpo_plugin.scoring import RewardSet
from tests.tiny import make_model

RECIPE = {
    "plugins": [f"grpo_plugin.{name}Plugin" for name in ("Prompt", "Rollout", "Validation")],
    "tokenizer_type": "PreTrainedTokenizerFast",
    "prompts": {
        "validation": {
            "sums": {"sources": "sums.jsonl", "answer_key": "answer"},
            "other": {"sources": "sums.jsonl", "prompt_key": "answer"},
        }
    },
    "validation": {
        "sets": {
            "sums": {"reward": "rewards.arithmetic.accuracy", "samples": 2, "majority_at": [2], "max_tokens": 20},
            "other": {"reward": "rewards.arithmetic.layout"},
        }
    },
}


class Server:
    """Answers 4 to every prompt: right for the first of two."""

    def __init__(self, model):
        self.tokenizer, self.stopped, self.asked = AutoTokenizer.from_pretrained(model), False, []
        self.client, self.counts_versions = self, True

    def wait_ready(self, timeout):
        pass

    def stop(self):
        self.stopped = True

    def complete(self, prompts, *, n, sampling, version, verify_version, images):
        self.asked.append(
            (n, sampling.temperature, sampling.max_tokens, [self.tokenizer.decode(ids) for ids in prompts])
        )
        ids = [*self.tokenizer.encode("Answer: 4"), self.tokenizer.eos_token_id]
        return [[Completion(ids, [-0.5] * len(ids), "stop", version) for _ in range(n)] for _ in prompts]

    async def play(self, episodes, *, sampling, version, verify_version):
        """Every episode asks for 2 + 2 and repeats the result."""
        call = '{"name": "calculate", "arguments": {"expression": "2 + 2"}}'
        for episode in episodes:
            await episode.begin()
            for text in (f"<tool_call>\n{call}\n</tool_call>", "Answer: 4"):
                ids = [*self.tokenizer.encode(text), self.tokenizer.eos_token_id]
                await episode.add_turn(Completion(ids, [-0.5] * len(ids), "stop", version))


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = ({"prompt": f"{n}+{n}=", "answer": str(2 * n)} for n in (2, 3))
    (tmp_path / "sums.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(RECIPE))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    server = Server(make_model(tmp_path / "model"))
    monkeypatch.setattr(command, "_server", lambda recipe, rollout, out: server)
    return server


def run(*words):
    return CliRunner().invoke(command.evaluate, ["recipe.yaml", *words])


def test_a_set_is_answered_scored_and_written(server, tmp_path):
    result = run("--model", "model", "--set", "sums", "--out", "ev")
    assert result.exit_code == 0, result.output
    assert server.stopped
    prompt = "<|im_start|>user\n2+2=<|im_end|>\n<|im_start|>assistant\n"
    assert [(n, temperature, most, texts[0]) for n, temperature, most, texts in server.asked] == [
        (2, 1.0, 20, prompt),
        (1, 0.0, 20, prompt),
    ]
    [line] = (tmp_path / "ev" / "evaluations.jsonl").read_text().splitlines()
    found = json.loads(line)
    assert (found["set"], found["metric"], found["samples"]) == ("sums", "accuracy", 2)
    part = found["overall"]
    assert (part["sampled"], part["greedy"], part["majority_at"], part["prompts"]) == (0.5, 0.5, {"2": 0.5}, 2)
    answers = pandas.read_parquet(tmp_path / "ev" / "validation")
    assert set(answers["completion"]) == {"Answer: 4"} and len(answers) == 2 * (2 + 1)
    assert "Held-out sums: accuracy, 2 prompts, mean of 2 samples" in result.output


def test_models_of_one_name_and_sets_keep_their_figures(server, tmp_path):
    for run_name in ("a", "b"):
        shutil.copytree("model", f"{run_name}/checkpoint-100")
    for words in (("a", "sums"), ("a", "other"), ("b", "sums")):
        assert run("--model", f"{words[0]}/checkpoint-100", "--set", words[1]).exit_code == 0
    sets = {
        path.parent.name: [json.loads(line)["set"] for line in path.read_text().splitlines()]
        for path in (tmp_path / "outputs" / "recipe").glob("*/evaluations.jsonl")
    }
    assert sets == {"a-checkpoint-100": ["sums", "other"], "b-checkpoint-100": ["sums"]}


@pytest.mark.parametrize("name", ["run.json", "trainer_state.json"])
def test_the_folder_of_a_run_or_checkpoint_is_refused(name, server, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("{}")
    result = run("--model", "model", "--out", "out")
    assert result.exit_code == 2 and f"belongs to training (it has {name}); name another folder." in result.output
    assert server.asked == []


def test_a_run_folder_is_evaluated_by_what_vllm_can_load(server, tmp_path, monkeypatch):
    shutil.copytree("model", "run/checkpoint-4")
    (tmp_path / "run" / "checkpoint-4" / "trainer_state.json").write_text('{"global_step": 4}')
    monkeypatch.setattr(command, "whole", lambda folder: tmp_path / "model")
    monkeypatch.setattr(command, "model_folder", lambda folder: tmp_path / folder / "checkpoint-4")
    result = run("--model", "run", "--set", "sums")
    assert result.exit_code == 0, result.output
    assert f"vLLM serves {tmp_path / 'model'}; log in outputs/recipe/run-checkpoint-4/vllm.log" in result.output


def test_a_server_elsewhere_must_serve_the_model():
    recipe = parse({**RECIPE, "base_model": "some/model"}, evaluates=True)
    rollout = RolloutConfig.parse("rollout", {"url": "http://127.0.0.1:9"})
    handle = command._server(recipe, rollout, Path("out"))
    assert handle._model == "some/model"
    handle.stop()


def test_rewards_are_closed_where_loading_fails(server, monkeypatch):
    closed = []
    monkeypatch.setattr(RewardSet, "close", lambda self: closed.append(self.names))
    Path("sums.jsonl").write_text('{"prompt": "1+1="}')
    assert run("--model", "model", "--set", "sums").exit_code == 2
    assert closed == [["accuracy"]] and server.stopped


def test_what_is_missing_is_said_before_a_server_starts(server):
    assert "base_model: missing" in run().output
    unknown = run("--model", "model", "--set", "sum")
    assert unknown.exit_code == 2 and "no set 'sum' in prompts.validation; did you mean 'sums'?" in unknown.output
    assert server.asked == []


def test_episodes_are_played_as_in_training(server, tmp_path):
    (tmp_path / "tools.jinja").write_text(CHAT_WITH_TOOLS)
    environments = {"tools": ["environments.calculator.calculate"], "chat_template": "tools.jinja"}
    plugins = [*RECIPE["plugins"], "grpo_plugin.EnvironmentPlugin"]
    trl = {"max_completion_length": 200}
    recipe = RECIPE | {"plugins": plugins, "environments": environments, "trl": trl, "validation": {"sets": {}}}
    recipe["validation"]["sets"] = {"sums": {"reward": "rewards.arithmetic.accuracy", "samples": 2, "max_tokens": 200}}
    recipe["prompts"] = {"validation": {"sums": RECIPE["prompts"]["validation"]["sums"]}}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    result = run("--model", "model", "--out", "ev")
    assert result.exit_code == 0, result.output
    answers = pandas.read_parquet(tmp_path / "ev" / "validation")
    assert set(answers["completion"]) == {"Answer: 4"} and set(answers["turns"]) == {2}
    assert set(answers["tool_calls"]) == {1} and set(answers["tool_failures"]) == {0}
    [line] = (tmp_path / "ev" / "evaluations.jsonl").read_text().splitlines()
    assert json.loads(line)["overall"]["sampled"] == 0.5
