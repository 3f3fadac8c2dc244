"""Errors of single rows, collected into one sentence with row numbers."""

from grpo_plugin.errors import DataError

NAMED_ROWS = 5
NAMED_KINDS = 3


class RowError(ValueError):
    """One row cannot be used. The message completes "the row has …", without the row's number: "an empty prompt"."""


class RowErrors:
    """The errors of all rows read so far, by file and message."""

    def __init__(self, field: str) -> None:
        self._field = field
        self._rows: dict[tuple[str, str], list[int]] = {}

    def add(self, label: str, row: int, error: RowError) -> None:
        self._rows.setdefault((label, str(error)), []).append(row)

    def check(self, *, so_far: bool = False) -> None:
        """Raise the collected errors as one.

        Args:
            so_far: rows that follow have not been read yet; the message says so.

        Raises:
            DataError: "prompts.train: a.jsonl has an empty prompt in rows 4 and 17; correct or remove them."
        """
        if not self._rows:
            return
        rest = ", and perhaps others further on, which were not read" if so_far else ""
        parts = [f"{label} has {what} in {rows(found)}" for (label, what), found in self._rows.items()]
        more = f"; {len(parts) - NAMED_KINDS} more kinds of error" if len(parts) > NAMED_KINDS else ""
        raise DataError(f"{self._field}: {'; '.join(parts[:NAMED_KINDS])}{more}; correct or remove them{rest}.")


def rows(numbers: list[int]) -> str:
    """ "row 4", "rows 4 and 17", "rows 1, 2, 3, 4, 5 and 12 more"; rows are counted from 1."""
    named = [str(number) for number in numbers[:NAMED_ROWS]]
    if len(numbers) == 1:
        return f"row {named[0]}"
    if len(numbers) > NAMED_ROWS:
        return f"rows {', '.join(named)} and {len(numbers) - NAMED_ROWS} more"
    return f"rows {', '.join(named[:-1])} and {named[-1]}"
