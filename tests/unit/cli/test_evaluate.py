"""`axolotl grpo evaluate` with a server that answers as the test says; prompts, rewards, figures and files are real."""

import json

import pandas
import pytest
import yaml
from click.testing import CliRunner
from transformers import AutoTokenizer

from grpo_plugin.cli import evaluate as command
from grpo_plugin.rollout.client.responses import Completion
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


def test_what_is_missing_is_said_before_a_server_starts(server):
    assert "base_model: missing" in run().output
    unknown = run("--model", "model", "--set", "sum")
    assert unknown.exit_code == 2 and "no set 'sum' in prompts.validation; did you mean 'sums'?" in unknown.output
    assert server.asked == []
