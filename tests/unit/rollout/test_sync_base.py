"""Ranks that push together fail together."""

import os
from pathlib import Path

import pytest
from accelerate import Accelerator
from torch import distributed
from torch.multiprocessing.spawn import spawn

from grpo_plugin.errors import RolloutError
from grpo_plugin.rollout.sync.base import SyncFailed, raise_on_every_rank

CASES: dict[str, tuple[int | None, type[Exception]]] = {
    "nobody": (None, Exception),
    "the main rank loses the server": (0, SyncFailed),
    "another rank cannot gather": (1, RolloutError),
    "a plain mistake": (1, ValueError),
}


def run_cases(rank: int, folder: Path) -> None:
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "ACCELERATE_USE_CPU": "true"}
    os.environ |= {"MASTER_ADDR": "unused", "MASTER_PORT": "1"}  # accelerate asks for them, and finds a group made
    distributed.init_process_group("gloo", init_method=f"file://{folder / 'rendezvous'}", rank=rank, world_size=2)
    accelerator = Accelerator(cpu=True)
    for case, (failing, kind) in CASES.items():
        try:
            with raise_on_every_rank(accelerator):
                if rank == failing:
                    raise kind(case)
            outcome = "went on"
        except Exception as error:
            outcome = f"{type(error).__name__}: {error}"
        with (folder / str(rank)).open("a") as file:
            file.write(outcome + "\n")
    distributed.destroy_process_group()


@pytest.mark.timeout(120)
def test_every_rank_learns_of_a_failure_on_any(tmp_path: Path) -> None:
    spawn(run_cases, args=(tmp_path,), nprocs=2)
    main, other = ((tmp_path / str(rank)).read_text().splitlines() for rank in range(2))
    assert main == [
        "went on",
        "SyncFailed: the main rank loses the server",
        "RolloutError: another rank cannot gather",
        "RolloutError: a plain mistake",
    ]
    assert other == [
        "went on",
        "SyncFailed: the main rank loses the server",
        "RolloutError: another rank cannot gather",
        "ValueError: a plain mistake",
    ]


def test_alone_the_error_itself_comes_back() -> None:
    mistake = ValueError("mine")
    with pytest.raises(ValueError) as caught, raise_on_every_rank(Accelerator(cpu=True)):
        raise mistake
    assert caught.value is mistake
