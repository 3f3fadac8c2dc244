"""`axolotl grpo serve CHECKPOINT` with a LoRA checkpoint: exported, served, asked by curl and by OpenAI's client."""

import io
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pandas
import pytest
import torch
import yaml
from click.testing import CliRunner
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from grpo_plugin.cli import compare as comparing
from grpo_plugin.cli.chat import talk
from grpo_plugin.cli.evaluate import evaluate
from grpo_plugin.recipe import check, read
from grpo_plugin.recipe.resuming import write_recipe as keep_recipe
from grpo_plugin.rollout.client.chat import Conversation
from tests.training import BIN, VLLM_PYTHON, write_recipe

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(400),
    pytest.mark.skipif(not VLLM_PYTHON.exists(), reason="no .venv-vllm: run `make vllm`"),
]

# Run where the client is installed: it comes with vLLM.
OPENAI = """
import json, sys
from openai import AuthenticationError, OpenAI
url, key, model = sys.argv[1:]
client = OpenAI(base_url=url, api_key=key)
text = client.completions.create(model=model, prompt="1+1=", max_tokens=8, temperature=0, logprobs=0)
chat = client.chat.completions.create(
    model=model, messages=[{"role": "user", "content": "1+1="}], max_tokens=8, temperature=0
)
try:
    OpenAI(base_url=url, api_key="wrong").models.list()
    refused = False
except AuthenticationError:
    refused = True
print(json.dumps({
    "models": [each.id for each in client.models.list()], "refused": refused,
    "text": text.choices[0].text, "logps": text.choices[0].logprobs.token_logprobs,
    "chat": chat.choices[0].message.content,
}))
"""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA checkpoint whose adapter changes what the model says."""
    folder = tmp_path_factory.mktemp("run")
    recipe = write_recipe(folder, adapter="lora", lora_r=4, lora_alpha=8, lora_target_linear=True)
    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_pretrained(folder / "model")
    config = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "down_proj"], init_lora_weights=False)
    saved = folder / "out" / "checkpoint-4"
    get_peft_model(base, config).save_pretrained(saved)
    (saved / "trainer_state.json").write_text(json.dumps({"global_step": 4}))
    keep_recipe(check(read(recipe)), saved)
    return saved


@pytest.fixture(scope="module")
def served(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """What `serve` has printed by the time it is ready."""
    screen = tmp_path_factory.mktemp("screen") / "screen.txt"
    command = [str(BIN / "axolotl"), "grpo", "serve", str(checkpoint), "--host=127.0.0.1"]
    with screen.open("w") as out:
        process = subprocess.Popen(
            ["sh", "-c", 'trap "" INT; exec "$@"', "serve", *command],  # as a script starts it in the background
            stdout=out,
            stderr=subprocess.STDOUT,
            env=os.environ | {"HF_HUB_OFFLINE": "1"},
        )
    deadline = time.monotonic() + 300
    while "curl " not in screen.read_text():
        assert process.poll() is None and time.monotonic() < deadline, screen.read_text()
        time.sleep(0.2)
    yield screen.read_text()
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=40) == 0, screen.read_text()
    assert screen.read_text().endswith("stopped\n")


@pytest.fixture(scope="module")
def address(served: str) -> tuple[str, str, str]:
    """The URL, the key and the name of the model."""
    found = re.search(r"ready at (\S+)/v1, key (\S+)\nmodel (\S+)", served)
    assert found is not None, served
    return found[1], found[2], found[3]


def greedy(exported: Path, text: str, tokens: int) -> tuple[str, list[float]]:
    """The model's own answer, with the log-probability of each token."""
    tokenizer, model = AutoTokenizer.from_pretrained(exported), AutoModelForCausalLM.from_pretrained(exported)
    ids = tokenizer(text, return_tensors="pt").input_ids
    made = model.generate(ids, max_new_tokens=tokens, do_sample=False, output_scores=True, return_dict_in_generate=True)
    new = made.sequences[0, ids.shape[1] :]
    logps = [score[0].float().log_softmax(-1)[token].item() for score, token in zip(made.scores, new, strict=True)]
    return tokenizer.decode(new, skip_special_tokens=True), logps


def settled(text: str) -> str:
    """Without the bytes of an unfinished character, which vLLM holds back."""
    return text.rstrip("�")


def test_openais_client_gets_the_answers_of_the_merged_model(checkpoint, served, address):
    url, key, model = address
    exported = checkpoint.parent / "exported" / "checkpoint-4"
    assert Path(model) == exported and f"exporting it to {exported}" in served
    assert "log-probabilities as the checkpoint's" in served
    command = [str(VLLM_PYTHON), "-c", OPENAI, f"{url}/v1", key, model]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    answer = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environ)
    assert answer.returncode == 0, answer.stderr
    found = json.loads(answer.stdout)
    assert found["models"] == [model] and found["refused"]
    text, logps = greedy(exported, "1+1=", 8)
    assert settled(found["text"]) == settled(text)
    assert found["logps"] == pytest.approx(logps, abs=1e-3)
    question = "<|im_start|>user\n1+1=<|im_end|>\n<|im_start|>assistant\n"
    assert settled(found["chat"]) == settled(greedy(exported, question, 8)[0])


def test_the_printed_curl_command_works(served):
    (line,) = [line for line in served.splitlines() if line.startswith("curl ")]
    answer = subprocess.run(line, shell=True, capture_output=True, text=True, timeout=60)
    assert json.loads(answer.stdout)["choices"][0]["message"]["role"] == "assistant"


def test_chat_talks_to_it(checkpoint, address, monkeypatch, capsys):
    url, key, model = address
    monkeypatch.setattr("sys.stdin", io.StringIO("1+1=\n\n/new\n1+1=\n/exit\nnot asked\n"))
    talk(Conversation(url, key, model, options={"temperature": 0, "max_tokens": 8}))
    question = "<|im_start|>user\n1+1=<|im_end|>\n<|im_start|>assistant\n"
    answer = settled(greedy(checkpoint.parent / "exported" / "checkpoint-4", question, 8)[0])
    assert capsys.readouterr().out == f"{answer}\n{answer}\n"


PROMPTS = [f"<|im_start|>user\n{i}+1=<|im_end|>\n<|im_start|>assistant\n" for i in range(8)]


def held_out_answers(exported: Path) -> list[str]:
    """The model's own greedy answers of 16 tokens at most to the held-out prompts."""
    return [greedy(exported, prompt, 16)[0] for prompt in PROMPTS]


def digits(texts: list[str]) -> float:
    """The mean reward of the function of that name in `tests.training`."""
    return sum(sum(letter.isdigit() for letter in text) / 16 for text in texts) / len(texts)


def test_evaluate_scores_what_vllm_answers(checkpoint, address, tmp_path, monkeypatch):
    """The recipe's server is the one that runs; `axolotl grpo evaluate` without a url differs by starting its own."""
    url, key, model = address
    monkeypatch.setenv("GRPO_ROLLOUT_KEY", key)
    monkeypatch.chdir(checkpoint.parent.parent)
    recipe = yaml.safe_load(Path("recipe.yaml").read_text()) | {"rollout": {"url": url}, "validation": {"samples": 2}}
    Path("evaluated.yaml").write_text(yaml.safe_dump(recipe))
    result = CliRunner().invoke(evaluate, ["evaluated.yaml", "--model", str(checkpoint), f"--out={tmp_path}"])
    assert result.exit_code == 0, result.output
    [line] = (tmp_path / "evaluations.jsonl").read_text().splitlines()
    found = json.loads(line)
    assert found["step"] == 4 and found["overall"]["prompts"] == 8 and found["samples"] == 2
    answers = pandas.read_parquet(tmp_path / "validation").sort_values("row")
    by_vllm = answers[answers["temperature"] == 0]["completion"].map(settled).tolist()
    assert by_vllm == [settled(text) for text in held_out_answers(Path(model))]
    assert found["overall"]["greedy"] == pytest.approx(digits(by_vllm), abs=1e-6)
    assert (answers["temperature"] == 1).sum() == 16


def test_compare_scores_what_vllm_answers(checkpoint, address, tmp_path, monkeypatch):
    """Both sides are answered by the one server that runs; the command starts one for each."""
    url, key, model = address
    server = SimpleNamespace(endpoint=SimpleNamespace(address=url, key=key))

    @contextmanager
    def running() -> Iterator[SimpleNamespace]:
        yield server

    monkeypatch.setattr(comparing, "of_recipe", lambda recipe, model: SimpleNamespace(running=running))
    out, recipe = tmp_path / "found.html", checkpoint.parent.parent / "recipe.yaml"
    words = [model, str(checkpoint), "--prompts", str(recipe), f"--out={out}"]
    result = CliRunner().invoke(comparing.compare, words)
    assert result.exit_code == 0, result.output
    [row] = [line.split() for line in result.output.splitlines() if line.startswith("digits")]
    assert row[1] == row[2] == f"{digits(held_out_answers(Path(model))):.3f}" and row[3:] == ["+0.000", "0.000", *"008"]
    assert out.read_text().count("<article") == 8
