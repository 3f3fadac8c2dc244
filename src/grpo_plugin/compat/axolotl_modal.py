"""Runs a command in a container at Modal, in place of Axolotl's `ModalCloud`.

Defects of Axolotl 0.19 (`axolotl.cli.cloud.modal_`): it uploads the whole working directory, environments and outputs
included; drops the overrides of the command line; needs docker on this machine; knows a fixed list of GPUs and makes
them with `modal.gpu`, which Modal 1.6 no longer has; drops a secret that is not set; commits volumes after a success
only. Goes when Axolotl's does none of these. Tested with Modal 1.3.0 and 1.6.4.
"""

import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grpo_plugin.compat import modal_container
from grpo_plugin.errors import GrpoPluginError, RecipeError

CHOICE = 10.0  # seconds for a second Ctrl-C
STOPPED = 128 + signal.SIGINT
_ENDING = 60.0  # seconds for a cancelled run to save and to commit its volumes


@dataclass(frozen=True)
class ModalJob:
    """A command, and the container for it.

    Attributes:
        mounts: files and folders of this machine, and their paths there.
        skips: whether a path below a folder of `mounts`, relative to it, stays here.
        gpu: in Modal's words, `H200:8`.
        memory: MiB.
        timeout: seconds.
        volumes: mount → name.
        secrets: name → value.
        modal_secrets: names of those that Modal keeps.
    """

    name: str
    command: tuple[str, ...]
    folder: str
    image: str
    dockerfile_commands: tuple[str, ...]
    env: Mapping[str, str]
    mounts: tuple[tuple[Path, str], ...]
    skips: Callable[[Path], bool]
    gpu: str
    cpu: float
    memory: int
    timeout: int
    volumes: Mapping[str, str]
    secrets: Mapping[str, str] = field(repr=False)
    modal_secrets: tuple[str, ...] = ()


def run(job: ModalJob) -> int:
    """Run the job and show its logs until it ends; returns its exit code.

    Raises:
        RecipeError: Modal's client is not installed.
        GrpoPluginError: Modal refused or ended the run.
    """
    modal = _client()
    app = modal.App(job.name)
    function = app.function(
        image=image(modal, job),
        gpu=job.gpu,
        cpu=job.cpu,
        memory=job.memory,
        timeout=job.timeout,
        volumes={mount: modal.Volume.from_name(name, create_if_missing=True) for mount, name in job.volumes.items()},
        secrets=_secrets(modal, job),
        include_source=False,
    )(modal_container.train)
    code = STOPPED
    try:
        with modal.enable_output(), app.run(detach=True):
            code = _wait(function.spawn(list(job.command), job.folder, list(job.volumes.values())))
    except modal.exception.Error as error:
        raise GrpoPluginError(f"Modal: {' '.join(str(error).split()) or type(error).__name__}") from None
    return code


def _client() -> Any:
    try:
        import modal
    except ImportError:
        raise RecipeError(
            "--cloud: Modal's client is not installed; pip install modal, then run `modal setup`."
        ) from None
    return modal


def image(modal: Any, job: ModalJob) -> Any:
    """The registry's image with the Dockerfile's lines, the environment, and the files, which come at the start."""
    made = modal.Image.from_registry(job.image)
    if job.dockerfile_commands:
        made = made.dockerfile_commands(list(job.dockerfile_commands))
    made = made.env(dict(job.env))
    for local, remote in job.mounts:
        made = _with(made, local, remote, job.skips)
    return made


def _with(made: Any, local: Path, remote: str, skips: Callable[[Path], bool]) -> Any:
    if local.is_file():
        return made.add_local_file(local, remote)

    def ignore(path: Path) -> bool:
        return skips(path.relative_to(local) if path.is_absolute() else path)

    return made.add_local_dir(local, remote, ignore=ignore)


def _secrets(modal: Any, job: ModalJob) -> list[Any]:
    kept = [modal.Secret.from_name(name) for name in job.modal_secrets]
    return [modal.Secret.from_dict(dict(job.secrets)), *kept] if job.secrets else kept


def _wait(call: Any) -> int:
    """The exit code of the run. After Ctrl-C it goes on without this process, after a second one it is stopped."""
    try:
        return call.get()
    except KeyboardInterrupt:
        print(
            f"\nThe run goes on at Modal. Ctrl-C again within {CHOICE:.0f} seconds stops it; otherwise this command "
            "leaves it alone.",
            file=sys.stderr,
        )
    try:
        return call.get(timeout=CHOICE)
    except TimeoutError:
        raise KeyboardInterrupt from None  # Modal's client then says how to follow and to stop the run
    except KeyboardInterrupt:
        return _stop(call)


def _stop(call: Any) -> int:
    """Cancel the run, and wait until it has saved what it keeps."""
    print("Stopping the run.", file=sys.stderr)
    call.cancel()
    try:
        call.get(timeout=_ENDING)
    except Exception as error:  # it ends as cancelled; what Modal raises for that differs between its versions
        print(f"Stopped ({type(error).__name__}).", file=sys.stderr)
    return STOPPED
