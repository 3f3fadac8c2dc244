import socket
import time
from pathlib import Path

import pytest

from grpo_plugin.errors import RewardError
from rewards import code

ASSERTIONS = ["assert f(1) == 2", "assert f(2) == 3"]
RIGHT = "def f(x):\n    return x + 1"


def score(program: str, listed: object = ASSERTIONS, **options: object) -> float:
    return code.tests([f"Here it is:\n```python\n{program}\n```"], [listed], **options)[0]  # type: ignore[arg-type]


def test_fraction_or_all_or_nothing() -> None:
    assert score(RIGHT) == 1.0
    assert score("def f(x):\n    return 2") == 0.5
    assert score("def f(x):\n    return 2", all_or_nothing=True) == 0.0
    assert score("def f(x) return") == 0.0
    assert score(RIGHT, '["assert f(1) == 2", "assert f(1) == 3"]') == 0.5


def test_tests_by_either_name() -> None:
    program = f"```python\n{RIGHT}\n```"
    assert code.tests([program], test_cases=[ASSERTIONS]) == [1.0]
    with pytest.raises(RewardError, match="no column 'tests' or 'test_cases'"):
        code.tests([program])


def test_standard_input_and_output() -> None:
    cases = [{"input": "2 3\n", "output": "5\n"}, {"input": "4 4", "output": "8"}]
    assert score("a, b = map(int, input().split())\nprint(a + b, end='  \\n\\n')", cases) == 1.0
    assert score("print(5)", cases) == 0.5
    assert score("print(5)", cases, max_tests=1) == 1.0


def test_time_memory_and_output_are_limited() -> None:
    began = time.monotonic()
    assert score("while True:\n    pass", timeout=1.0) == 0.0
    assert score("x = bytearray(10 ** 10)\n" + RIGHT) == 0.0
    assert score("while True:\n    print('x' * 10_000)", [{"input": "", "output": ""}], timeout=2.0) == 0.0
    assert time.monotonic() - began < 12


@pytest.mark.parametrize(
    "program",
    [
        "import socket\nsocket.socket()",
        "import os\nos.system('touch {outside}')",
        "import subprocess\nsubprocess.run(['touch', '{outside}'])",
        "open('{outside}', 'w').write('x')",
        "import os\nos.fork()",
        "import ctypes\nctypes.CDLL(None).system(b'touch {outside}')",
        "import os\nos._exit(0)",
        "import sys\nsys.exit(0)",
        "import sys\nprint('[0, 1]')\nsys.exit(0)",
    ],
)
def test_forbidden_ways_earn_nothing(program: str, tmp_path: Path) -> None:
    outside = tmp_path / "escaped"
    assert score(program.format(outside=outside) + "\n" + RIGHT) == 0.0
    assert not outside.exists()


def test_no_network_even_to_this_machine() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert score(f"import urllib.request\nurllib.request.urlopen('http://127.0.0.1:{port}')\n{RIGHT}") == 0.0


def test_writing_in_its_own_folder_is_allowed() -> None:
    assert score("open('notes.txt', 'w').write('x')\n" + RIGHT) == 1.0


@pytest.mark.parametrize(
    "text",
    [
        "```python\nx = 1\n```\nIt prints\n```\n5\n```",
        "```python\nx = 1\n```\nRun it:\n```bash\npython program.py\n```",
        '```python title="program.py"\nx = 1\n```',
        "```python {linenos}\nx = 1\n```",
        "1. First:\n   ```python\n   x = 1\n   ```",
        "~~~python\nx = 1\n~~~",
        "````python\nx = 1\n````",
        "```Python3\nx = 1\n```\nand ```not a block```",
    ],
)
def test_the_program_is_found_among_other_blocks(text: str) -> None:
    assert code.program_of(text) == "x = 1\n"


def test_backticks_in_a_docstring_close_no_block() -> None:
    program = 'def f(x):\n    """\n    ```\n    f(1) -> 2\n    ```\n    and `x`\n    """\n    return x + 1\n'
    assert code.program_of(f"```python\n{program}```") == program
    assert code.program_of("```bash\nls\n```") == ""


def test_leading_white_space_in_the_expected_output() -> None:
    assert score("print(5)", [{"input": "", "output": " 5\n"}]) == 1.0
    assert score("print(1, 2)", [{"input": "", "output": "1  2"}]) == 0.0


def test_program_of() -> None:
    assert code.program_of("```\na = 1\n```\nthen\n```\nb = 2\n```") == "b = 2\n"
    assert code.program_of("```python\na = 1\n```\nthen\n```python\nb = 2\n```") == "b = 2\n"
    assert code.program_of("<think>```python\nwrong\n```</think>print(1)") == "print(1)"
    assert code.program_of("```python\nx = 1") == ""
    assert code.tests([""], [ASSERTIONS]) == [0.0]
