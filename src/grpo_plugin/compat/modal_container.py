"""What runs in the container at Modal: the command, and the volumes' commit whatever becomes of it.

Defect: Axolotl 0.19's function commits the volumes after a success only, splits its command at spaces, and writes the
recipe alone, without its base. Goes with `compat.axolotl_modal`. Modal imports this file in the container, where
Axolotl's image has no more than the standard library and Modal's client for certain.
"""

import os
import subprocess
from collections.abc import Sequence

GRACE = 20.0  # seconds to end in, of the 30 that Modal gives a cancelled function


def train(command: Sequence[str], folder: str, volumes: Sequence[str]) -> int:
    """Run the command in `folder`, and commit the named volumes when it ends, fails or is cancelled.

    Returns its exit code.
    """
    import modal

    os.makedirs(folder, exist_ok=True)  # noqa: PTH103
    process = subprocess.Popen(command, cwd=folder)
    try:
        return process.wait()
    finally:
        _end(process)
        for name in volumes:
            modal.Volume.from_name(name).commit()


def _end(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
