from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM, Qwen2ForSequenceClassification

from grpo_plugin.config.rewards import RewardsConfig
from grpo_plugin.errors import RewardError
from grpo_plugin.scoring import load
from tests.unit.scoring.scored import score

SIZES = {"vocab_size": 32, "hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1}
SHAPE = Qwen2Config(**SIZES, num_attention_heads=2, num_key_value_heads=2, num_labels=1, pad_token_id=0)


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny reward model with a character vocabulary, on disk."""
    folder = tmp_path_factory.mktemp("judge")
    torch.manual_seed(0)
    Qwen2ForSequenceClassification(SHAPE).save_pretrained(folder)
    vocabulary = {"<pad>": 0, **{character: place for place, character in enumerate("abcdefgh", start=1)}}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<pad>"))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>").save_pretrained(folder)
    return folder


def test_a_folder_with_a_reward_model_scores_prompt_and_completion(judge: Path) -> None:
    entry = {"function": str(judge), "kwargs": {"batch_size": 2}}
    rewards = load(RewardsConfig.parse("rewards", {"functions": [entry]}), Path.cwd())
    try:
        [together] = score(rewards, ["a", "b", "c"])
        [alone] = score(rewards, ["b"])
    finally:
        rewards.close()
    assert rewards.names == [judge.name]
    assert rewards.places() == {judge.name: "trainer"}
    assert together[1] == pytest.approx(alone[0], abs=1e-6)
    assert len(set(together)) == 3


def test_a_model_that_is_no_reward_model_stops_before_training(tmp_path: Path) -> None:
    Qwen2ForCausalLM(SHAPE).save_pretrained(tmp_path / "policy")
    with pytest.raises(RewardError, match="is no reward model: it is Qwen2ForCausalLM"):
        load(RewardsConfig.parse("rewards", {"functions": [{"function": "policy"}]}), tmp_path)


def test_an_id_that_nobody_has(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(RewardError, match="'nobody/nothing' is no function and no readable Hugging Face model"):
        load(RewardsConfig.parse("rewards", {"functions": [{"function": "nobody/nothing"}]}), tmp_path)
