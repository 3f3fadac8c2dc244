"""What is wrong with single rows, gathered into one sentence with row numbers."""

from grpo_plugin.errors import DataError

NAMED_ROWS = 5
NAMED_FAULTS = 3


class Fault(ValueError):
    """What one row has that it must not have: "an empty prompt". Said without its number."""


class Faults:
    """The faults of a pass over the data, by file and kind."""

    def __init__(self, field: str) -> None:
        self._field = field
        self._rows: dict[tuple[str, str], list[int]] = {}

    def add(self, label: str, row: int, fault: Fault) -> None:
        self._rows.setdefault((label, str(fault)), []).append(row)

    def check(self, *, so_far: bool = False) -> None:
        """Raise what was gathered, at the end of the data or before.

        Raises:
            DataError: "prompts.train: a.jsonl has an empty prompt in rows 4 and 17; mend or remove them."
        """
        if not self._rows:
            return
        rest = ", and perhaps others further on, which were not read" if so_far else ""
        parts = [f"{label} has {what} in {rows(found)}" for (label, what), found in self._rows.items()]
        more = f"; {len(parts) - NAMED_FAULTS} more kinds of fault" if len(parts) > NAMED_FAULTS else ""
        raise DataError(f"{self._field}: {'; '.join(parts[:NAMED_FAULTS])}{more}; mend or remove them{rest}.")


def rows(numbers: list[int]) -> str:
    """ "row 4", "rows 4 and 17", "rows 1, 2, 3, 4, 5 and 12 more"; rows are counted from 1."""
    named = [str(number) for number in numbers[:NAMED_ROWS]]
    if len(numbers) == 1:
        return f"row {named[0]}"
    if len(numbers) > NAMED_ROWS:
        return f"rows {', '.join(named)} and {len(numbers) - NAMED_ROWS} more"
    return f"rows {', '.join(named[:-1])} and {named[-1]}"
