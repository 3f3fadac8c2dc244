"""Lets Axolotl share output_dir/debug.log with the output of this process's libraries.

Defect: Axolotl 0.19 deletes debug.log when it opens it, while the process's own output already goes there; it mirrors
stdout into it, and logs to stdout beside it, so that lines would stand there three times. Goes when Axolotl opens the
file to append and leaves stdout alone.
"""

import logging
import os
import sys
from pathlib import Path


def append(output_dir: Path) -> None:
    """Open Axolotl's debug log to append, before Axolotl opens it, as the one place of its log lines; idempotent."""
    from axolotl.utils.dict import DictDefault
    from axolotl.utils.tee import prepare_debug_log

    os.environ["AXOLOTL_TEE_STDOUT"] = "0"
    prepare_debug_log(DictDefault(output_dir=str(output_dir), auto_resume_from_checkpoints=True))
    for logger in (logging.getLogger(), logging.getLogger("axolotl")):
        for handler in list(logger.handlers):
            if isinstance(handler, logging.StreamHandler) and handler.stream is sys.stdout:
                logger.removeHandler(handler)
