"""The time limit of the process group, in two real processes on gloo."""

import os
import subprocess
import sys
from pathlib import Path

from grpo_plugin.compat import ddp_timeout

ROOT = Path(__file__).parents[3]
RANK = """
import sys, torch
from grpo_plugin.compat import ddp_timeout
from transformers import TrainingArguments
cfg = {"ddp_timeout": 77}
ddp_timeout.apply(cfg)
ddp_timeout.apply(cfg)
TrainingArguments(output_dir=sys.argv[1], use_cpu=True, **ddp_timeout.training_arguments(cfg))
group = torch.distributed.group.WORLD
print(torch.distributed.get_world_size(), group._get_backend(torch.device("cpu")).options._timeout)
"""


def test_the_key_is_a_training_argument():
    assert ddp_timeout.training_arguments({"ddp_timeout": 7200}) == {"ddp_timeout": 7200}
    assert ddp_timeout.training_arguments({}) == {}


def test_the_group_of_cpu_processes_has_the_limit(tmp_path):
    script = tmp_path / "rank.py"
    script.write_text(RANK)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", script, tmp_path]
    environ = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}", "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=150)
    assert done.stdout.splitlines() == ["2 0:01:17"] * 2, done.stderr
