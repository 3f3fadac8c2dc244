"""Two real processes on gloo make the same optimizer step as one, with whole copies of the model or a divided one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.integration.step_gradients import BLOCKS, SPLITS
from tests.training import ROOT
from tests.unit.trainer.rollouts import rollouts
from tests.unit.trainer.test_gradients import gradients

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]
SCRIPT = Path(__file__).with_name("step_gradients.py")


@pytest.fixture(scope="module", params=["copies", "divided"])
def by_two_ranks(request, tmp_path_factory) -> dict[tuple[str, tuple[int, int]], torch.Tensor]:
    out = tmp_path_factory.mktemp("ranks") / "gradients.pt"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", str(SCRIPT)]
    environ = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, str(out), request.param], check=True, env=environ, timeout=150)
    return torch.load(out)


@pytest.mark.parametrize("split", SPLITS, ids=str)
@pytest.mark.parametrize("name", BLOCKS)
def test_two_ranks_make_the_same_step_as_one(name, split, by_two_ranks):
    whole = gradients(BLOCKS[name], rollouts())[0]
    assert whole.abs().max() > 1e-3
    assert torch.allclose(by_two_ranks[name, split], whole, atol=1e-5, rtol=1e-5)
