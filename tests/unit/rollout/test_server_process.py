"""The server process with stand-ins for vLLM; the real one is in tests/faults."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from grpo_plugin.errors import RolloutError
from grpo_plugin.rollout.server import guard
from grpo_plugin.rollout.server.command import ServerCommand
from grpo_plugin.rollout.server.endpoint import Endpoint, make_run_dir, shared_memory_prefix
from grpo_plugin.rollout.server.process import Server
from tests.unit.rollout import fake_vllm

Launch = Callable[..., Server]


def command(endpoint: Endpoint, *argv: str) -> ServerCommand:
    argv = argv or (fake_vllm.__file__, str(endpoint.socket))
    return ServerCommand((sys.executable, "-S", *argv), dict(os.environ), {"A": "1"}, endpoint)


@pytest.fixture
def run_dir() -> Iterator[Path]:
    folder = make_run_dir()
    yield folder
    assert not folder.exists(), "stop() removes it"


@pytest.fixture
def launch(run_dir: Path, tmp_path: Path) -> Iterator[Launch]:
    servers: list[Server] = []

    def run(*argv: str) -> Server:
        servers.append(Server.launch(command(Endpoint(run_dir), *argv), run_dir, tmp_path / "out" / "vllm.log"))
        return servers[-1]

    yield run
    for server in servers:
        server.stop()


def test_a_life(launch: Launch, run_dir: Path) -> None:
    left = Path(shared_memory_prefix(run_dir) + "left-by-a-killed-trainer")
    left.mkdir()
    server = launch()
    server.wait_ready(10)
    assert server.alive()
    assert server.log_tail() == "serving"
    tree = guard.session_members(server._state.guard_pid)
    assert len(tree) == 2
    server.stop()
    assert not server.alive()
    assert not any(guard.start_time(pid) for pid in tree)
    assert not run_dir.exists()
    assert not left.exists()
    server.stop()


def test_what_is_written_is_private(launch: Launch, run_dir: Path) -> None:
    run_dir.chmod(0o755)
    launch().wait_ready(10)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (run_dir, run_dir / "tmp", run_dir / "server.json")}
    assert modes == {run_dir.name: 0o700, "tmp": 0o700, "server.json": 0o600}


def test_another_process_of_the_run_adopts_it(launch: Launch, run_dir: Path) -> None:
    server = launch()
    server.wait_ready(10)
    program = (
        "import sys; from pathlib import Path; from grpo_plugin.rollout.server.process import Server; "
        "server = Server.adopt(Path(sys.argv[1])); server.wait_ready(5); print(server.endpoint.address, server.alive())"
    )
    answer = subprocess.run([sys.executable, "-c", program, str(run_dir)], capture_output=True, text=True, timeout=60)
    assert answer.stdout == f"{server.endpoint.address} True\n", answer.stderr
    assert server.alive(), "it still belongs to who launched it"


def test_an_adopted_server_can_be_stopped(launch: Launch, run_dir: Path) -> None:
    launch().wait_ready(10)
    adopted = Server.adopt(run_dir)
    adopted.stop()
    assert not adopted.alive()
    with pytest.raises(RolloutError, match="no vLLM server runs in"):
        Server.adopt(run_dir)


def test_a_reused_process_id_is_not_taken_for_the_server(launch: Launch, run_dir: Path) -> None:
    server = launch()
    state = (run_dir / "server.json").read_text()
    (run_dir / "server.json").write_text(state.replace(server._state.guard_started, "1"))
    with pytest.raises(RolloutError, match="no vLLM server runs in"):
        Server.adopt(run_dir)
    assert server.alive()


def test_it_matches_its_own_command_alone(launch: Launch, run_dir: Path) -> None:
    server = launch()
    endpoint = Endpoint(run_dir)
    assert Server.adopt(run_dir).matches(command(server.endpoint))
    assert not server.matches(command(endpoint, "-c", "pass"))
    other = command(endpoint)
    assert not server.matches(ServerCommand(other.argv, other.env, {"A": "2"}, endpoint))


def test_a_second_server_in_the_same_folder_is_refused(launch: Launch) -> None:
    launch()
    with pytest.raises(RolloutError, match=r"runs in .* already"):
        launch()


def test_a_stale_socket_is_replaced(launch: Launch, run_dir: Path) -> None:
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(str(run_dir / "vllm.sock"))
    launch().wait_ready(10)


def test_a_server_that_ends_says_why(launch: Launch) -> None:
    with pytest.raises(RolloutError) as caught:
        launch("-c", "print('starting'); raise OSError('Address already in use')").wait_ready(10)
    first, _, rest = str(caught.value).partition("\n")
    assert first.startswith(
        "vLLM ended before it was ready: OSError: Address already in use; choose another rollout.port"
    )
    assert rest.splitlines()[0].endswith("vllm.log:")
    assert rest.splitlines()[1] == "starting"


def test_a_server_that_never_gets_ready_is_ended(launch: Launch) -> None:
    server = launch("-c", "import time; time.sleep(600)")
    tree = guard.session_members(server._state.guard_pid)
    start = time.monotonic()
    with pytest.raises(RolloutError, match=r"was not ready after 0.5 s \(rollout.start_timeout\)"):
        server.wait_ready(0.5)
    assert time.monotonic() - start < 5
    assert not any(guard.start_time(pid) for pid in tree)


def test_a_log_goes_on_but_a_failure_shows_its_own_part(launch: Launch, tmp_path: Path) -> None:
    log = tmp_path / "out" / "vllm.log"
    log.parent.mkdir()
    log.write_text("ValueError: of an earlier run\n")
    with pytest.raises(RolloutError, match="TypeError: mine") as caught:
        launch("-c", "raise TypeError('mine')").wait_ready(10)
    assert "earlier" not in str(caught.value)
    assert log.read_text().startswith("ValueError: of an earlier run\n")


def test_what_a_killed_guard_leaves_is_ended(launch: Launch, run_dir: Path) -> None:
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(600)"
    )
    server = launch("-c", stubborn)
    while not server.log_tail():
        time.sleep(0.05)
    tree = guard.session_members(server._state.guard_pid)
    guard.kill(server._state.guard_pid, 9)
    server.stop()
    assert not any(guard.start_time(pid) for pid in tree)
    assert not run_dir.exists()


def test_a_missing_interpreter_is_named(tmp_path: Path) -> None:
    endpoint = Endpoint(tmp_path)
    with pytest.raises(RolloutError, match=r"rollout.python: '/nowhere/python' is no program"):
        Server.launch(ServerCommand(("/nowhere/python",), {}, {}, endpoint), tmp_path, tmp_path / "vllm.log")


def test_a_port_taken_meanwhile_is_named(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        endpoint = Endpoint(tmp_path, "127.0.0.1", other.getsockname()[1], "key")
        with pytest.raises(RolloutError, match="cannot be served on"):
            Server.launch(command(endpoint, "-c", "pass"), tmp_path, tmp_path / "vllm.log")
