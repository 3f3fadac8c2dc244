"""Where the server listens, and the key that requests need."""

import hashlib
import secrets
import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path

from grpo_plugin.config.rollout import RolloutConfig
from grpo_plugin.errors import RolloutError

# sockaddr_un holds 108 bytes with the final zero; vLLM puts ipc sockets named by a UUID into run_dir/tmp.
_LONGEST_RUN_DIR = 107 - len("/tmp/") - 36
_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}


@dataclass(frozen=True)
class Endpoint:
    """A Unix socket in the private folder `run_dir`, or a TCP port, where every route needs `key`."""

    run_dir: Path
    host: str | None = None
    port: int | None = None
    key: str | None = None

    @property
    def socket(self) -> Path | None:
        return None if self.host else self.run_dir / "vllm.sock"

    @property
    def address(self) -> str:
        """`unix:/path/to/socket` or `http://host:port`, as Client takes it."""
        if not self.host:
            return f"unix:{self.socket}"
        host = _ANY_ADDRESS.get(self.host, self.host)
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"


def make_run_dir() -> Path:
    """A private (0700) folder for socket, state and temporary files, with a path short enough for Unix sockets.

    Raises:
        RolloutError: when the temporary folder's own path is too long.
    """
    for parent in (tempfile.gettempdir(), "/tmp"):
        if len(parent.encode()) + len("/grpo-12345678") <= _LONGEST_RUN_DIR:
            return Path(tempfile.mkdtemp(prefix="grpo-", dir=parent))
    raise RolloutError(
        f"TMPDIR: {tempfile.gettempdir()!r} is too long for a Unix socket below it; set a shorter TMPDIR."
    )


def shared_memory_prefix(run_dir: Path) -> str:
    """Path prefix of the folders in shared memory that belong to this `run_dir` alone.

    The guard removes them together with `run_dir`.
    """
    digest = hashlib.sha256(str(run_dir.absolute()).encode()).hexdigest()[:16]
    return f"/dev/shm/grpo-{digest}-"


def choose_endpoint(rollout: RolloutConfig, run_dir: Path) -> Endpoint:
    """The socket `run_dir/vllm.sock`, or with `rollout.host` a TCP port (a free one unless given) and a fresh key.

    Raises:
        RolloutError: when `rollout.host` is no address of this machine, or `rollout.port` is taken.
    """
    if not rollout.host:
        return Endpoint(run_dir)
    port = claim_port(rollout.host, rollout.port or 0)
    return Endpoint(run_dir, rollout.host, port, secrets.token_urlsafe(32))


def claim_port(host: str, port: int) -> int:
    """`port` if it is free now, or any free one for 0.

    Raises:
        RolloutError: when it is taken, or `host` is no address of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As vLLM binds: a port in TIME_WAIT is free, one that is listened on is not.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise RolloutError(
                f"rollout.port: {host}:{port} cannot be served on ({error.strerror or error}); "
                "choose another port, or drop rollout.host to use the private Unix socket."
            ) from None
        return int(probe.getsockname()[1])
