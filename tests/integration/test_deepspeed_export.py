"""Real shards of DeepSpeed become one folder with the logits of the engine; skipped where it is not installed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from grpo_plugin.recipe.checkpoint_layout import layout_of, not_ready
from grpo_plugin.trainer.export import check, export
from tests.tiny import make_model

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
SCRIPT = Path(__file__).with_name("deepspeed_shards.py")


@pytest.mark.parametrize("stage", [2, 3])
def test_shards_of_two_processes_are_put_together(tmp_path, stage, monkeypatch):
    pytest.importorskip("deepspeed")
    monkeypatch.setenv("DS_ACCELERATOR", "cpu")
    base, checkpoint, out = make_model(tmp_path / "model"), tmp_path / "checkpoint-3", tmp_path / "out"
    checkpoint.mkdir()
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone"]
    command = [*torchrun, str(SCRIPT), str(base), str(checkpoint), str(stage)]
    done = subprocess.run(command, env=os.environ.copy(), capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    assert layout_of(checkpoint) == "deepspeed"
    assert export(checkpoint, out, base_model=str(base)) == "deepspeed" and not_ready(out) is None
    assert check(checkpoint, out, str(base)) == 0.0
    probe = torch.arange(3, 19).unsqueeze(0)
    with torch.no_grad():
        logits, before = (AutoModelForCausalLM.from_pretrained(place)(input_ids=probe).logits for place in (out, base))
    trained = torch.load(checkpoint / "logits.pt", weights_only=True)
    assert (logits - trained).abs().max() < 1e-4 < 0.1 < (before - trained).abs().max()
