"""A checkpoint in every form becomes one folder whose model gives the same log-probabilities."""

import shutil
from pathlib import Path

import pytest
import torch
import torch.distributed.checkpoint as distributed
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from grpo_plugin.errors import RecipeError, TrainingError
from grpo_plugin.recipe.checkpoint_layout import FSDP_FOLDER, layout_of, not_ready, size_of
from grpo_plugin.trainer.export import check, export, logps_of
from tests.tiny import CHAT_TEMPLATE, make_model


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("base") / "model")


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    folder = tmp_path / "checkpoint-3"
    folder.mkdir()
    return folder


def trained(base: Path):
    """The base model after an update of every weight."""
    model = AutoModelForCausalLM.from_pretrained(base)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.01 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return model


def is_whole(out: Path) -> bool:
    tokenizer = AutoTokenizer.from_pretrained(out)
    assert tokenizer.chat_template == CHAT_TEMPLATE
    assert GenerationConfig.from_pretrained(out).eos_token_id == tokenizer.eos_token_id
    return not_ready(out) is None


def logps(folder: Path):
    return logps_of(AutoModelForCausalLM.from_pretrained(folder))


def test_a_model_is_copied_without_what_a_resume_needs(base, checkpoint, tmp_path):
    model = trained(base)
    model.save_pretrained(checkpoint)
    AutoTokenizer.from_pretrained(base).save_pretrained(checkpoint)
    for name in ("optimizer.pt", "rollouts.pt", "training_args.bin"):
        torch.save({}, checkpoint / name)
    (checkpoint / "trainer_state.json").write_text("{}")
    assert not_ready(checkpoint) is None
    out = tmp_path / "out"
    assert export(checkpoint, out, base_model=str(base)) == "model"
    assert is_whole(out) and torch.equal(logps(out), logps_of(model))
    assert not any((out / name).exists() for name in ("rollouts.pt", "trainer_state.json", "training_args.bin"))
    assert check(checkpoint, out, str(base)) == 0.0


def test_an_adapter_is_merged(base, checkpoint, tmp_path):
    torch.manual_seed(0)
    adapted = get_peft_model(
        AutoModelForCausalLM.from_pretrained(base),
        LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "down_proj"], init_lora_weights=False),
    )
    adapted.save_pretrained(checkpoint)
    assert layout_of(checkpoint) == "adapter"
    assert not_ready(checkpoint) == "it is a LoRA adapter without its base model"
    out = tmp_path / "out"
    assert export(checkpoint, out, base_model=str(base)) == "adapter"
    assert is_whole(out) and not (out / "adapter_config.json").exists()
    assert (logps(out) - logps_of(adapted)).abs().max() < 1e-4
    assert (logps(out) - logps(base)).abs().max() > 0.01
    assert check(checkpoint, out, str(base)) < 1e-4


def test_shards_of_fsdp_are_put_together(base, checkpoint, tmp_path):
    model = trained(base)
    distributed.save({"model": model.state_dict()}, checkpoint_id=checkpoint / FSDP_FOLDER, no_dist=True)
    assert not_ready(checkpoint) == "its weights are in the shards of FSDP"
    out = tmp_path / "out"
    assert export(checkpoint, out, base_model=str(base)) == "fsdp"
    assert is_whole(out) and torch.equal(logps(out), logps_of(model))
    assert check(checkpoint, out, str(base)) == 0.0
    assert not list(tmp_path.glob("tmp*")), "the whole file in between is gone"


def test_shards_of_an_adapter_are_put_together_and_merged(base, checkpoint, tmp_path):
    torch.manual_seed(0)
    config = LoraConfig(r=4, target_modules=["q_proj"], init_lora_weights=False)
    adapted = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    weights = {name.replace(".default", ""): t for name, t in adapted.state_dict().items() if "lora_" in name}
    distributed.save({"model": weights}, checkpoint_id=checkpoint / FSDP_FOLDER, no_dist=True)
    adapted.peft_config["default"].save_pretrained(checkpoint.parent)  # Axolotl writes it to the run's folder
    out = tmp_path / "out"
    export(checkpoint, out, base_model=str(base))
    assert (logps(out) - logps_of(adapted)).abs().max() < 1e-4


def test_a_wrong_base_model_is_noticed(base, checkpoint, tmp_path):
    distributed.save({"model": {"other.weight": torch.ones(2)}}, checkpoint_id=checkpoint / FSDP_FOLDER, no_dist=True)
    with pytest.raises(RecipeError, match="of which 1 are unknown to Qwen2ForCausalLM"):
        export(checkpoint, tmp_path / "out", base_model=str(base))


def test_another_model_in_the_folder_is_noticed(base, checkpoint, tmp_path):
    trained(base).save_pretrained(checkpoint)
    AutoTokenizer.from_pretrained(base).save_pretrained(checkpoint)
    with pytest.raises(TrainingError, match="it is not the model that was trained"):
        check(checkpoint, base, None)


def test_what_cannot_be_exported_is_said(base, checkpoint, tmp_path):
    with pytest.raises(RecipeError, match="has no weights"):
        export(checkpoint, tmp_path / "out", base_model=None)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    with pytest.raises(RecipeError, match="has files in it; name a new folder"):
        export(base, tmp_path / "full", base_model=None)
    (checkpoint / "global_step3").mkdir()
    (checkpoint / "global_step3" / "mp_rank_00_model_states.pt").touch()
    assert not_ready(checkpoint) == "its weights are in the shards of DeepSpeed"


def test_what_is_missing_for_inference_is_said(base, checkpoint):
    assert not_ready(checkpoint) == "it has no weights"
    shutil.copytree(base, checkpoint, dirs_exist_ok=True)
    assert not_ready(checkpoint) is None
    assert size_of(checkpoint) == sum(file.stat().st_size for file in base.iterdir())
    (checkpoint / "tokenizer.json").unlink()
    assert not_ready(checkpoint) == "it has no tokenizer"
    (checkpoint / "config.json").unlink()
    assert not_ready(checkpoint) == "it has no config.json"
    (checkpoint / "model.safetensors").rename(checkpoint / "model-00001-of-00002.safetensors")
    (checkpoint / "model.safetensors.index.json").write_text(
        '{"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}'
    )
    assert not_ready(checkpoint) == "its model-00002-of-00002.safetensors is missing"
