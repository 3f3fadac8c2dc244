"""A vLLM that stops working without ending is named within seconds and replaced; the weights go to the new one."""

import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from accelerate import Accelerator
from torch import nn
from transformers import AutoModelForCausalLM

from grpo_plugin.config.rollout import RolloutConfig
from grpo_plugin.rollout.client.sampling import Sampling
from grpo_plugin.rollout.engine import RolloutEngine
from grpo_plugin.rollout.server import guard
from grpo_plugin.rollout.server.endpoint import make_run_dir
from grpo_plugin.rollout.server.handle import ServerHandle
from grpo_plugin.rollout.server.process import Server
from grpo_plugin.rollout.server.server_plan import plan_server
from grpo_plugin.rollout.sync.file import FileTransport
from tests.agreement import ROUNDING, gap, perturb
from tests.tiny import make_model
from tests.training import VLLM_PYTHON

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not VLLM_PYTHON.exists(), reason="no .venv-vllm: run `make vllm`"),
]

NAMED_WITHIN = 15.0
LONG = Sampling(max_tokens=400, extra={"ignore_eos": True})


class Run:
    """An engine on a real server, its policy, and when it said what."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.model: nn.Module = AutoModelForCausalLM.from_pretrained(folder)
        self.notes: list[tuple[float, str]] = []
        accelerator = Accelerator(cpu=True)
        config = RolloutConfig(python=str(VLLM_PYTHON), restarts=3, start_timeout=600.0)
        plan = plan_server({"base_model": str(folder)}, config, os.environ, num_processes=1)

        def launch(run_dir: Path) -> Server:
            return plan.launch(run_dir, folder / "vllm.log")

        self.handle = ServerHandle.of(launch(make_run_dir()), launch, config.request_timeout)
        self.engine = RolloutEngine(
            accelerator,
            config,
            self.handle,
            lambda server: FileTransport(server, accelerator, config.request_timeout),
            note=lambda text: self.notes.append((time.monotonic(), text)),
        )

    def processes(self, name: str = "") -> list[int]:
        """vLLM's processes, below the guard, whose command line has `name`."""
        assert self.handle.server is not None
        found = guard.descendants(self.handle.server._state.guard_pid)
        return [pid for pid in found if name in Path(f"/proc/{pid}/cmdline").read_text()]

    def generates(self) -> bool:
        """Whether a request is at work in the server."""
        socket = self.handle.client.address.removeprefix("unix:")
        with httpx.Client(transport=httpx.HTTPTransport(uds=socket), timeout=60.0) as http:
            metrics = http.get("http://vllm/metrics").text
        return re.search(r"^vllm:num_requests_running{.*} [1-9]", metrics, re.MULTILINE) is not None


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    made = Run(make_model(tmp_path_factory.mktemp("model")))
    try:
        made.engine.start()
        yield made
    finally:
        made.engine.close()


def after(seconds: float, act: Callable[[], None]) -> threading.Timer:
    timer = threading.Timer(seconds, act)
    timer.start()
    return timer


def test_all_of_vllm_stopped_in_a_generation(run: Run) -> None:
    perturb(run.model, 1)
    run.engine.sync(run.model)
    stopped: list[float] = []

    def stop() -> None:
        while not run.generates():
            time.sleep(1.0)
        for pid in run.processes():
            os.kill(pid, signal.SIGSTOP)
        stopped.append(time.monotonic())

    after(0.0, stop)
    groups = run.engine.generate(run.model, [[5, 6, 7]] * 64, 8, LONG)
    assert [len(group) for group in groups] == [8] * 64
    assert all(len(c.token_ids) == 400 and c.version == 1 for group in groups for c in group)
    said, text = run.notes[-1]
    assert "is stopped (SIGSTOP)" in text and "restarting it (1 of 3)" in text
    assert said - stopped[0] < NAMED_WITHIN
    assert gap(run.model, run.handle, 1).max < ROUNDING


@pytest.mark.parametrize(("pause", "named"), [(8.0, "is stopped (SIGSTOP)"), (1.0, "vLLM")], ids=["stopped", "killed"])
def test_the_engine_core_stopped_and_killed_in_a_sync(run: Run, pause: float, named: str) -> None:
    """The API server waits for its EngineCore without an end, and answers nothing."""
    perturb(run.model, 2)
    (core,) = run.processes("EngineCore")
    os.kill(core, signal.SIGSTOP)
    stopped = time.monotonic()
    after(pause, lambda: guard.kill(core, signal.SIGKILL))
    version = run.engine.sync(run.model)
    said, text = run.notes[-1]
    assert named in text
    assert said - stopped < NAMED_WITHIN
    assert gap(run.model, run.handle, version).max < ROUNDING
