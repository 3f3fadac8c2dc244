"""benchmarks/gpu.py on the CPU with a tiny model: every part gives its rows, and what is there is measured once."""

import json
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import gpu, gpu_parts


def run(monkeypatch: pytest.MonkeyPatch, out: Path, *options: str) -> dict[str, dict[str, dict[str, object]]]:
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--tiny", "--out", str(out), *options])
    gpu.main()
    return json.loads((out / "gpu.json").read_text())["parts"]


def test_every_part_runs_and_can_be_taken_up_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = run(monkeypatch, tmp_path)
    assert list(parts) == [name for name in gpu.PARTS if not name.endswith("1.5b")]
    exact = parts["agreement-0.5b"]["float32 packed_sdpa"]
    assert exact["logp max"] < 1e-5  # type: ignore[operator]
    assert exact["gradient relative"] < 1e-4  # type: ignore[operator]
    assert "FlexAttention" in str(parts["agreement-0.5b"]["float32 flex_attention"]["reason"])
    assert all(parts["update-0.5b"][path]["tokens/s"] for path in ("packed", "trl"))
    for steps in parts["training-0.5b"].values():
        assert steps["Σ A·logp last"] > steps["Σ A·logp first"]  # type: ignore[operator]
    assert parts["nccl"]["two ranks, one card"]["backend"] == "gloo"
    assert "ten steps, LoRA" in capsys.readouterr().out

    monkeypatch.setattr(gpu_parts, "_shared_memory", lambda tiny: {"GB": 7})
    assert run(monkeypatch, tmp_path)["shared-memory"] == parts["shared-memory"]
    again = run(monkeypatch, tmp_path, "--only", "shared-memory", "--again")
    assert again["shared-memory"]["safetensors"] == {"GB": 7}
    assert again["nccl"] == parts["nccl"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card")
def test_without_a_card_each_row_says_so(tmp_path: Path) -> None:
    record = gpu_parts.Record(tmp_path / "update.json")
    gpu_parts.update(record, size="0.5b", tiny=False)
    assert record.rows["packed"] == {"reason": "RuntimeError: no CUDA device; --tiny runs on the CPU"}


def test_a_part_over_its_time_is_stopped_and_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert gpu.run_bounded("nccl", tmp_path, 0.01, again=False) == "stopped after 0 s; run the command again to go on"
    report = gpu.collect(tmp_path, {"nccl": "no time left"})
    assert report["parts"] == {"nccl": {"(part)": {"reason": "no time left"}}}
