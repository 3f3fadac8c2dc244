"""What a run has in shared memory."""

from pathlib import Path

from grpo_plugin.rollout.server.endpoint import shared_memory_prefix


def folders_of(run_dir: Path) -> list[Path]:
    """The folders in shared memory that belong to `run_dir`."""
    prefix = Path(shared_memory_prefix(run_dir))
    return sorted(prefix.parent.glob(f"{prefix.name}*"))
