"""Programs: does the code in a completion pass its tests?

Reads the column `tests`, or `test_cases` where the data calls it so (AceCode), for each row one of

- assertions: `["assert add(2, 3) == 5", …]`, run after the program, each by itself;
- input and output: `[{"input": "2 3\\n", "output": "5\\n"}, …]`, the program run once for each, its output compared
  without white space at line ends, and at the ends of the whole.

    >>> program = "```python\\ndef add(a, b):\\n    return a + b\\n```"
    >>> tests([program], [["assert add(2, 3) == 5", "assert add(1, 1) == 3"]])
    [0.5]

The program is the last fenced block that says python, else the last that says nothing, else all of a completion without
any. It runs in a sandbox (`grpo_plugin.scoring.sandbox`): limits on time, memory, output and files, an empty folder, no
network. Whether an assertion holds is decided in another process, with which the program exchanges plain data.
"""

import json
import re
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from grpo_plugin.errors import RewardError
from grpo_plugin.scoring.completions import text_of
from grpo_plugin.scoring.sandbox import Limits, describe, run_assertions, run_program

__all__ = ["describe", "program_of", "tests"]  # describe: a run shows how programs are kept apart

_FENCE = re.compile(r"^(?P<indent>[ \t]*)(?P<marks>`{3,}|~{3,})[ \t]*(?P<language>[\w+#.-]*)(?P<rest>[^`]*?)\s*$")


def tests(
    completions: Sequence[Any],
    tests: Sequence[Any] | None = None,
    test_cases: Sequence[Any] | None = None,
    all_or_nothing: bool = False,
    timeout: float = 5.0,
    memory_mb: int = 512,
    max_tests: int | None = None,
    **columns: Any,
) -> list[float]:
    """The share of tests that pass, or 1.0 for all of them and else 0.0; 0.0 without a program.

    `timeout` is in seconds, for each run on an input and for all assertions of a row together; `max_tests` runs the
    first so many of each row.

    Raises:
        RewardError: the data has neither column.
    """
    cases = tests if tests is not None else test_cases
    if cases is None:
        raise RewardError("rewards.code.tests: the data has no column 'tests' or 'test_cases'; name one so.")
    limits = Limits(timeout, memory_mb * 2**20)
    shares = [
        _share(program_of(text_of(text)), _listed(listed)[:max_tests], limits)
        for text, listed in zip(completions, cases, strict=True)
    ]
    return [float(share == 1.0) for share in shares] if all_or_nothing else shares


def program_of(text: str) -> str:
    """The last closed block that is marked as Python, else the last without a mark; the whole text without a fence.

    "" where there are other blocks only, or none that is closed.
    """
    answer = text.rpartition("</think>")[2]
    blocks = list(_blocks(answer.splitlines()))
    if not blocks:
        return "" if any(_FENCE.match(line) for line in answer.splitlines()) else answer.strip()
    for marks in (("python", "py", "python3"), ("",)):
        if bodies := [body for language, body in blocks if language in marks]:
            return bodies[-1]
    return ""


def _blocks(lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The closed fenced blocks of Markdown: language, in small letters, and text without the fence's indentation.

    A fence is closed by a line of nothing but as many or more of its characters that is not indented by four more, so
    that one inside a docstring closes nothing.
    """
    opened: re.Match[str] | None = None
    body: list[str] = []
    for line in lines:
        found = _FENCE.match(line)
        if opened is None:
            opened, body = found, []
        elif found and _closes(found, opened):
            yield opened["language"].lower(), textwrap.dedent("".join(f"{each}\n" for each in body))
            opened = None
        else:
            body.append(line)


def _closes(fence: re.Match[str], opened: re.Match[str]) -> bool:
    longer = fence["marks"].startswith(opened["marks"])
    return longer and not fence["language"] + fence["rest"] and len(fence["indent"]) < len(opened["indent"]) + 4


def _listed(tests: Any) -> list[Any]:
    return list(json.loads(tests)) if isinstance(tests, str) else list(tests)


def _share(program: str, tests: list[Any], limits: Limits) -> float:
    if not program or not tests:
        return 0.0
    if isinstance(tests[0], str):
        return sum(run_assertions(program, tests, limits)) / len(tests)
    passed = sum(_same_output(run_program(program, str(test["input"]), limits), str(test["output"])) for test in tests)
    return passed / len(tests)


def _same_output(printed: str | None, expected: str) -> bool:
    return printed is not None and _lines(printed) == _lines(expected)


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip().splitlines()]
