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
