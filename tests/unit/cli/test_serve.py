"""What `axolotl grpo serve` plans and prints; a real server is in tests/faults."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from grpo_plugin.cli.serve import openai_address, serve
from grpo_plugin.rollout.server.endpoint import Endpoint

RECIPE = """
base_model: some/model
plugins: [grpo_plugin.PromptPlugin, grpo_plugin.RewardPlugin, grpo_plugin.RolloutPlugin]
prompts: {train: train.jsonl, prompt_key: prompt, answer_key: answer}
rewards: {functions: [{function: rewards.math.accuracy}]}
rollout: {}
trl: {use_vllm: true}
"""


@pytest.mark.parametrize(
    ("visible", "words", "gpus"),
    [("0", [], "0"), ("0,1", [], "1"), ("0,1,2", ["--num-processes=2"], "2")],
    ids=["the only GPU", "the last of two", "beside two trainer processes"],
)
def test_the_server_alone_may_have_every_gpu(
    visible: str, words: list[str], gpus: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    (tmp_path / "train.jsonl").write_text('{"prompt": "1+1=", "answer": "2"}\n')
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    result = CliRunner().invoke(serve, [str(tmp_path / "recipe.yaml"), "--dry-run", *words])
    assert result.exit_code == 0, result.output
    assert f"CUDA_VISIBLE_DEVICES={gpus} " in result.output


def test_the_address_is_the_one_that_openais_client_takes() -> None:
    endpoint = Endpoint(Path("/run/grpo"), "127.0.0.1", 8000, "k")
    assert openai_address(endpoint) == "http://127.0.0.1:8000/v1, key k"
    assert openai_address(Endpoint(Path("/run/grpo"))).startswith("/run/grpo/vllm.sock")
