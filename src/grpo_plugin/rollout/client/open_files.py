"""How many files this process may have open; every request takes one, its socket."""

import resource
from contextlib import suppress

ENOUGH = 65536
"""Files; some programs take long to start under a much higher limit, as they close every file that may be open."""


def raise_limit() -> int:
    """Raise the soft limit of open files towards the hard one, for this process and those it starts; returns it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH if hard == resource.RLIM_INFINITY else min(hard, ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):  # a system may allow less than it says
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    return ENOUGH if soft == resource.RLIM_INFINITY else soft
