"""Where the server listens, and the key that opens it."""

from dataclasses import dataclass
from pathlib import Path

from grpo_plugin.config.rollout import RolloutConfig


@dataclass(frozen=True)
class Endpoint:
    """A Unix socket in a private folder, or a TCP port whose every route asks for `key`."""

    socket: Path | None = None
    host: str | None = None
    port: int | None = None
    key: str | None = None

    @property
    def address(self) -> str:
        """`unix:/path/to/socket` or `http://host:port`, as Client takes it."""
        raise NotImplementedError


def make_run_dir() -> Path:
    """A private (0700) folder with a path short enough for a Unix socket (107 bytes)."""
    raise NotImplementedError


def choose_endpoint(rollout: RolloutConfig, run_dir: Path) -> Endpoint:
    """The socket `run_dir/vllm.sock`, or with `rollout.host` a TCP port (a free one unless given) and a fresh key.

    Raises:
        RolloutError: when `rollout.port` is taken.
    """
    raise NotImplementedError
