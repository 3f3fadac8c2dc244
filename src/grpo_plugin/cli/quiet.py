"""A command's screen without what libraries say of themselves."""

import logging
import warnings

TALKATIVE = ("torchao", "torch.utils._pytree", "bitsandbytes", "py.warnings")


def silence_libraries() -> None:
    """No bars, and no warnings about kernels that a command does not use; to be called before they are imported."""
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="bitsandbytes")
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
