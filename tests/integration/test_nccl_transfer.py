"""NCCL weight transfer without NCCL: vLLM's routes, request classes, packing and loading as they are, on CPU.

Trainer and server run the installed vLLM; the broadcast alone is played by a TCP store (`tcp_for_nccl.py`), because
this needs two GPUs otherwise. So the order of calls, their signatures and what vLLM does with the tensors are real.
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM

from grpo_plugin.errors import RolloutError
from grpo_plugin.rollout.server.handle import ServerHandle
from tests.agreement import ROUNDING, gap, serving
from tests.tiny import make_model
from tests.training import ROOT, VLLM_PYTHON

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not VLLM_PYTHON.exists(), reason="needs vLLM's environment, .venv-vllm (make test makes it)"),
]

HERE = Path(__file__).parent
ENTRY_POINT = "[vllm.general_plugins]\ntcp_for_nccl = tcp_for_nccl:install\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def handle(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerHandle]:
    site = tmp_path_factory.mktemp("site")
    metadata = site / "tcp_for_nccl-0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: tcp_for_nccl\nVersion: 0\n")
    (metadata / "entry_points.txt").write_text(ENTRY_POINT)
    with serving(folder, {"env": {"PYTHONPATH": f"{site}{os.pathsep}{HERE}"}}, sync="nccl") as running:
        yield running


def transfer(handle: ServerHandle, folder: Path, changed: Path, case: str) -> list[str]:
    """What the trainer's side prints; its interpreter is vLLM's, as `sync: nccl` asks for."""
    done = subprocess.run(
        [VLLM_PYTHON, HERE / "transfer_weights.py", handle.client.address, folder, changed, case],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()


def test_both_pushes_arrive_and_count(handle: ServerHandle, folder: Path, tmp_path: Path) -> None:
    assert transfer(handle, folder, tmp_path, "push") == [
        "EngineTransfer sent, version 1",
        "EngineTransfer sent, version 2",
    ]
    assert gap(AutoModelForCausalLM.from_pretrained(tmp_path), handle, 2).max < ROUNDING
    assert gap(AutoModelForCausalLM.from_pretrained(folder), handle, 2).mean > 0.1


def test_what_vllm_refuses_ends_the_transfer_and_the_server_refuses_to_generate(
    handle: ServerHandle, folder: Path, tmp_path: Path
) -> None:
    (line,) = transfer(handle, folder, tmp_path, "unknown tensor")
    assert line.startswith("failed: vLLM failed on /update_weights (500)")
    with pytest.raises(RolloutError):
        gap(AutoModelForCausalLM.from_pretrained(folder), handle, 2)
