"""What runs in the container, here with Modal's client against a server that speaks its protocol."""

import subprocess
import sys
import time

import pytest

pytest.importorskip("modal")

from tests.unit.compat.modal_server import ModalServer, serving
from tests.unit.compat.test_axolotl_modal import environment

TRAIN = """
import sys
from grpo_plugin.compat.modal_container import train
print(train(sys.argv[3:], sys.argv[1], [sys.argv[2]]))
"""


def container(folder, server, *command) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", TRAIN, str(folder), "kept", *command],
        env=environment(server),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_a_failed_command_commits_the_volumes_too(tmp_path):
    fake = ModalServer()
    code = "import os, sys; open('written there', 'w'); sys.exit(3)"
    with serving(fake) as server, container(tmp_path / "new", server, sys.executable, "-c", code) as process:
        out, _ = process.communicate(timeout=60)
    assert out == "3\n"
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["written there"]
    assert [request.volume_id for request in fake.asked("VolumeCommit")] == ["vo-kept"]


def test_a_cancelled_run_ends_its_command_and_commits(tmp_path):
    """Modal cancels a function by an exception in it, as an interrupt is."""
    fake = ModalServer()
    started, ended = tmp_path / "started", tmp_path / "ended"
    code = (
        f"import pathlib, signal, sys, time; end = pathlib.Path({str(ended)!r})\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "signal.signal(signal.SIGTERM, lambda *_: (end.touch(), sys.exit(0)))\n"
        f"pathlib.Path({str(started)!r}).touch(); time.sleep(60)"
    )
    with serving(fake) as server, container(tmp_path, server, sys.executable, "-c", code) as process:
        deadline = time.monotonic() + 30
        while not started.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(2)
        process.communicate(timeout=60)
    assert ended.exists()
    assert [request.volume_id for request in fake.asked("VolumeCommit")] == ["vo-kept"]
