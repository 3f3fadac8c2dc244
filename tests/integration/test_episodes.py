"""Whole runs of `axolotl train` on episodes: with vLLM, which is killed in the middle of one, and without."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas
import pytest
import yaml

from tests.training import ROOT, VLLM_PYTHON, Training, finish

pytestmark = [pytest.mark.slow, pytest.mark.timeout(500)]
needs_vllm = pytest.mark.skipif(not VLLM_PYTHON.exists(), reason="no .venv-vllm: run `make vllm`")

# The tool is called and described as the model was taught; the first call waits until the test has killed the server.
DESK = '''
import random
import time
from pathlib import Path

from environments.calculator import calculate

HERE = Path(__file__).parent


class Desk:
    def reset(self, answer=None, **row):
        self.calls = 0
        self.right = answer
        if answer is None:
            left, right = random.randrange(10, 100), random.randrange(10, 100)
            self.right = str(left * right)
            return f"What is {left} * {right}?"

    def calculate(self, expression: str) -> str:
        """Compute the value of an arithmetic expression.

        Args:
            expression: Numbers, + - * / and parentheses, such as "47 * 38".
        """
        self.calls += 1
        if (HERE / "kill").exists():
            (HERE / "kill").rename(HERE / "killing")
            while not (HERE / "killed").exists():
                time.sleep(0.1)
        return calculate(expression)

    def get_reward(self) -> float:
        return 0.1 * self.calls


def right(completions, environments, answer, **columns):
    assert [one.right for one in environments] == answer
    return [float(text[-1]["content"] == f"Answer: {gold}") for text, gold in zip(completions, answer)]
'''


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that has learnt to write calls, most of which can be read."""
    folder = tmp_path_factory.mktemp("calculator")
    settings = {"base_model": str(folder / "base"), "quickstart": {"task": "calculator", "steps": 60}}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(settings))
    command = [sys.executable, "-m", "grpo_plugin.quickstart", str(folder / "recipe.yaml")]
    subprocess.run(command, check=True, timeout=300, cwd=ROOT)
    return folder / "base"


def write_recipe(folder: Path, base: Path, **changes: Any) -> Path:
    """The calculator's recipe for three short steps; a change replaces a key or a block, None removes it."""
    (folder / "desk.py").write_text(DESK)
    recipe = yaml.safe_load((ROOT / "recipes" / "calculator.yaml").read_text())
    del recipe["quickstart"]
    recipe |= {"base_model": str(base), "max_steps": 3, "micro_batch_size": 16, "output_dir": str(folder / "out")}
    recipe["prompts"] |= {"train": str(base / "train.jsonl"), "validation": str(base / "held_out.jsonl")}
    recipe["environments"] = {"factory": "desk.py:Desk", "max_turns": 3}
    recipe["rollout"] = {"python": str(VLLM_PYTHON), "max_logp_gap": 0.001, "record_tokens": True}
    recipe |= changes
    plugins = {
        f"grpo_plugin.{block.removesuffix('s').capitalize()}Plugin" for block, value in changes.items() if not value
    }
    recipe["plugins"] = [name for name in recipe["plugins"] if name not in {*plugins, "grpo_plugin.QuickstartPlugin"}]
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in recipe.items() if value is not None}))
    return path


def steps(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "out" / "metrics.jsonl").read_text().splitlines()]


@needs_vllm
def test_episodes_go_on_when_vllm_is_killed_in_the_middle(tmp_path: Path, base: Path) -> None:
    """In the middle of the first step: a tool is running, and other episodes are generated."""
    rewards = {"workers": 0, "functions": [{"function": "desk.py:right"}]}
    validation = {"before_train": False, "every": 2, "samples": 1, "greedy": False, "max_prompts": 8}
    trl = {"use_vllm": True, "num_generations": 4, "max_completion_length": 80, "temperature": 1.0}
    (tmp_path / "kill").touch()
    training = Training(write_recipe(tmp_path, base, rewards=rewards, validation=validation, trl=trl))
    try:
        _wait_for(tmp_path / "killing", training)
        training.kill("api_server")
        (tmp_path / "killed").touch()
        screen = finish(training)
    finally:
        (tmp_path / "killed").touch()
        training.destroy()
    assert "restarting it (1 of" in screen and "Traceback" not in screen
    rows = steps(tmp_path)
    assert len(rows) == 3
    assert all(row["rollout/logp_gap"] < 1e-5 for row in rows), "also behind a tool's result"
    assert all(row["episode/turns"] > 1 and row["episode/tool_calls"] > 0 for row in rows)
    assert {"rewards/right/mean", "rewards/Desk/mean"} <= rows[0].keys()

    trained = pandas.read_parquet(tmp_path / "out" / "generations")
    assert len(trained) == 3 * 16
    _check_tokens(trained)
    held_out = pandas.read_parquet(tmp_path / "out" / "validation")
    assert len(held_out) == 2 * 8 and (held_out["turns"] >= 1).all() and (held_out["tool_calls"] > 0).any()


def _check_tokens(generated: pandas.DataFrame) -> None:
    """Each token is the policy's, with its log-probability, or the tool's, between two turns."""
    called = generated[generated["turns"] > 1]
    assert len(called) > 0
    for row in called.to_dict("records"):
        sampled, logps, texts = row["token_sampled"], row["token_logps"], row["token_texts"]
        assert len(sampled) == len(logps) == len(texts) and row["tokens"] == sum(sampled)
        assert all(logp == 0.0 for logp, own in zip(logps, sampled, strict=True) if not own)
        written = "".join(text for text, own in zip(texts, sampled, strict=True) if own)
        put_in = "".join(text for text, own in zip(texts, sampled, strict=True) if not own)
        put_in = re.sub("\ufffd+", "\ufffd", put_in)  # a character of several tokens, each of which is none by itself
        results = [message["content"] for message in json.loads(row["messages"]) if message["role"] == "tool"]
        assert len(results) in (row["turns"] - 1, row["turns"]) and row["tool_calls"] >= len(results) - 1
        assert "<tool_response>" not in written
        assert put_in == "".join(
            f"\n<|im_start|>user\n<tool_response>\n{result}\n</tool_response><|im_end|>\n<|im_start|>assistant\n"
            for result in results
        )


def test_two_ranks_whose_environment_makes_prompts_and_rewards(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hugging Face generates, in rounds of both ranks; there are neither `prompts.train` nor `rewards:`."""
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    trl = {"use_vllm": False, "num_generations": 4, "max_completion_length": 80, "temperature": 1.0}
    prompts = {"validation": str(base / "held_out.jsonl"), "prompt_key": "question", "answer_key": "answer"}
    validation = {"before_train": False, "every": 3, "samples": 1, "greedy": False, "max_prompts": 7}
    options: dict[str, Any] = {"micro_batch_size": 8, "rewards": None, "rollout": None}
    recipe = write_recipe(tmp_path, base, trl=trl, prompts=prompts, validation=validation, **options)
    training = Training(recipe, "--launcher", "torchrun", "--", "--nproc_per_node=2", launcher_words=())
    try:
        finish(training)
    finally:
        training.destroy()
    rows = steps(tmp_path)
    assert len(rows) == 3 and all(row["episode/tool_calls"] > 0 for row in rows)
    held_out = pandas.read_parquet(tmp_path / "out" / "validation")
    assert len(held_out) == 7 and (held_out["Desk"] <= 0.1 * held_out["tool_calls"] + 1e-6).all()
    generated = pandas.read_parquet(tmp_path / "out" / "generations")
    assert len(generated) == 3 * 16
    calls, failures = generated["tool_calls"], generated["tool_failures"]
    assert (generated["Desk"] <= 0.1 * calls + 1e-6).all() and (
        generated["Desk"] >= 0.1 * (calls - failures) - 1e-6
    ).all()
    assert generated["prompt"].str.contains(r"What is \d\d \* \d\d\?").all()
    assert generated["prompt"].nunique() > 4, "every episode is reset by itself"


def _wait_for(path: Path, training: Training, seconds: float = 200) -> None:
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert training.process.poll() is None and time.monotonic() < deadline, training.screen
        time.sleep(0.1)
