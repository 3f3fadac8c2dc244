from types import SimpleNamespace

import pytest
import torch

from grpo_plugin.compat import cpu_ranks


@pytest.mark.parametrize(
    ("world", "gpu", "expected"),
    [("2", False, {"": "cpu"}), ("1", False, None), (None, False, None), ("2", True, None)],
)
def test_ranks_without_a_gpu_are_put_on_the_cpu(monkeypatch, world, gpu, expected):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    if world:
        monkeypatch.setenv("WORLD_SIZE", world)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    cfg = SimpleNamespace(device_map=None)
    cpu_ranks.apply(cfg)
    assert cfg.device_map == expected


def test_a_state_is_loaded_to_the_device_that_accelerate_names(monkeypatch, tmp_path):
    torch.save({"step": torch.arange(3.0)}, tmp_path / "optimizer.pt")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    cpu_ranks.apply(SimpleNamespace(device_map=None))
    state = torch.load(tmp_path / "optimizer.pt", map_location=torch.device("cpu", 0), weights_only=True)
    assert state["step"].tolist() == [0.0, 1.0, 2.0]


def test_accelerate_is_told_to_start_every_process(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(8)))
    words = ["train", "r.yaml", "--num-processes=3", "--", "--mixed_precision=no"]
    environ: dict[str, str] = {}
    assert cpu_ranks.launcher_words(words, 3, environ) == ["train", "--multi-gpu", *words[1:]]
    assert environ == {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "2"}
    cpu_ranks.launcher_words(words, 3, chosen := {"OMP_NUM_THREADS": "5"})
    assert chosen["OMP_NUM_THREADS"] == "5"
