from functools import partial

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, GenerationConfig

from grpo_plugin.config.quickstart import QuickstartConfig
from grpo_plugin.errors import RecipeError
from grpo_plugin.quickstart import model
from grpo_plugin.quickstart.fingerprint import is_ready, read_fingerprint
from grpo_plugin.quickstart.problems import split

BRIEF = QuickstartConfig(steps=2)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Measuring an untaught model on every held-out problem would be most of the time; threads wait for busy cores."""
    monkeypatch.setattr(model, "split", partial(split, held_out_pairs=2))
    monkeypatch.setattr(model, "THREADS", 1)


def make(folder, settings=BRIEF):
    shares = []
    model.make(folder, settings, shares.append)
    return shares


def names(folder):
    return [path.name for path in folder.iterdir()]


def test_same_seed_same_bits(tmp_path):
    """Whatever random state the calling process is in."""
    torch.manual_seed(1)
    make(tmp_path / "a")
    torch.manual_seed(2)
    make(tmp_path / "b")
    a, b = (load_file(tmp_path / name / "model.safetensors") for name in "ab")
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_the_callers_random_state_is_left_alone(tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    make(tmp_path / "a")
    assert torch.equal(torch.rand(3), expected)


def test_what_the_folder_holds(tmp_path):
    folder = tmp_path / "deep" / "base"
    assert make(folder) == [0.5, 1.0]
    loaded = AutoModelForCausalLM.from_pretrained(folder)
    assert 600_000 < sum(p.numel() for p in loaded.parameters()) < 1_000_000
    assert loaded.config.model_type == "qwen2"
    assert loaded.get_input_embeddings().weight is not loaded.get_output_embeddings().weight
    assert loaded.dtype == torch.float32
    generation = GenerationConfig.from_pretrained(folder)
    assert (generation.eos_token_id, generation.pad_token_id) == (loaded.config.eos_token_id, 0)
    assert len((folder / "held_out.jsonl").read_text().splitlines()) == 4
    assert set(read_fingerprint(folder)["held_out_accuracy"]) == {"sampled", "greedy"}
    assert names(folder.parent) == ["base"]


def test_made_once_and_again_only_for_other_settings(tmp_path):
    folder = tmp_path / "base"
    make(folder)
    before = (folder / "model.safetensors").stat().st_mtime_ns
    assert is_ready(folder, BRIEF)
    assert make(folder) == []
    assert (folder / "model.safetensors").stat().st_mtime_ns == before
    other = QuickstartConfig(steps=1)
    assert not is_ready(folder, other)
    assert make(folder, other) == [1.0]
    assert is_ready(folder, other)
    assert names(tmp_path) == ["base"]


def test_a_folder_of_the_users_is_never_replaced(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(RecipeError, match=r"base_model: .* exists and the quickstart did not make it; name a folder"):
        make(tmp_path)
    assert names(tmp_path) == ["thesis.txt"]


def test_nothing_is_left_of_a_run_that_fails(tmp_path):
    def fail(share):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.make(tmp_path / "base", BRIEF, fail)
    assert names(tmp_path) == []


def test_whoever_finishes_second_keeps_what_the_first_made(tmp_path):
    """Two processes make the same folder at once; here the other one finishes in the middle of ours."""
    folder = tmp_path / "base"

    def be_overtaken(share):
        if share == 0.5:
            model.make(folder, BRIEF, lambda share: None)

    model.make(folder, BRIEF, be_overtaken)
    assert is_ready(folder, BRIEF)
    assert names(tmp_path) == ["base"]
