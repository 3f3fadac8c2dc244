import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from grpo_plugin.config.rollout import RolloutConfig
from grpo_plugin.errors import RolloutError
from grpo_plugin.rollout.server.endpoint import Endpoint, choose_endpoint, make_run_dir, shared_memory_prefix


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield int(listening.getsockname()[1])


def test_the_default_is_a_socket_without_a_key() -> None:
    endpoint = choose_endpoint(RolloutConfig(), Path("/tmp/grpo-x"))
    assert endpoint == Endpoint(Path("/tmp/grpo-x"))
    assert endpoint.address == "unix:/tmp/grpo-x/vllm.sock"


def test_a_host_gets_a_free_port_and_a_key_of_its_own() -> None:
    first, second = (choose_endpoint(RolloutConfig(host="127.0.0.1"), Path("/tmp/grpo-x")) for _ in range(2))
    assert first.socket is None
    assert first.port and first.address == f"http://127.0.0.1:{first.port}"
    assert first.key and second.key and first.key != second.key
    assert len(first.key) >= 43, "32 random bytes"


@pytest.mark.parametrize(("host", "address"), [("0.0.0.0", "http://127.0.0.1:9"), ("::", "http://[::1]:9")])
def test_a_server_on_all_addresses_is_asked_on_the_local_one(host: str, address: str) -> None:
    assert Endpoint(Path("/x"), host, 9, "k").address == address


def test_a_taken_port_is_named(taken: int) -> None:
    with pytest.raises(
        RolloutError, match=rf"rollout.port: 127.0.0.1:{taken} cannot be served on \(Address already in"
    ):
        choose_endpoint(RolloutConfig(host="127.0.0.1", port=taken), Path("/x"))


def test_an_address_of_another_machine_is_named() -> None:
    with pytest.raises(RolloutError, match=r"192\.0\.2\.77"):
        choose_endpoint(RolloutConfig(host="192.0.2.77"), Path("/x"))


def test_the_run_dir_is_private_and_short(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    long = tmp_path / ("x" * 120)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    run_dir = make_run_dir()
    try:
        assert run_dir.stat().st_mode & 0o777 == 0o700
        assert run_dir.stat().st_uid == os.getuid()
        # The longest name below it is a socket of vLLM's, named by a UUID.
        assert len(str(run_dir / "tmp" / ("u" * 36))) <= 107
    finally:
        run_dir.rmdir()


def test_folders_of_the_same_name_share_no_memory(tmp_path: Path) -> None:
    """Every launcher calls its server's folder `vllm`, below a session's folder of its own."""
    first, second = (shared_memory_prefix(tmp_path / session / "vllm") for session in ("one", "two"))
    assert first != second
    assert first == shared_memory_prefix(tmp_path / "one" / "vllm")
    assert all(prefix.startswith("/dev/shm/grpo-") for prefix in (first, second))
