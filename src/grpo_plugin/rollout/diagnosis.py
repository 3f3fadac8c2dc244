"""What a failed server's log means, and what to do about it."""


def tail(log: str, lines: int = 15) -> str:
    return "\n".join(log.splitlines()[-lines:])


def explain(log: str) -> str:
    return "?"
