"""Lets Axolotl share output_dir/debug.log with the output of this process's libraries.

Defect: Axolotl 0.19 deletes debug.log when it opens it, while the process's own output already goes there, and
mirrors stdout into it, which would double every line. Goes when Axolotl opens the file to append.
"""

import os
from pathlib import Path


def append(output_dir: Path) -> None:
    """Open Axolotl's debug log to append, without its mirror of stdout, before Axolotl opens it; idempotent."""
    from axolotl.utils.dict import DictDefault
    from axolotl.utils.tee import prepare_debug_log

    os.environ["AXOLOTL_TEE_STDOUT"] = "0"
    prepare_debug_log(DictDefault(output_dir=str(output_dir), auto_resume_from_checkpoints=True))
