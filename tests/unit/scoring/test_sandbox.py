"""Programs that cheat or escape, each in a real sandbox; what an honest one may do is below."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from grpo_plugin.errors import RewardError
from grpo_plugin.scoring import sandbox
from grpo_plugin.scoring.sandbox import Limits, run_assertions, run_program

LIMITS = Limits(seconds=5.0, memory=2**29)
ASSERTIONS = ["assert f(1) == 2", "assert f(2) == 3"]

apart = pytest.mark.skipif(
    sandbox.isolation() != "namespaces" and not os.environ.get("CI"),
    reason="this machine grants no user namespaces to this process",
)


def passed(program: str, assertions: list[str] | None = None) -> list[bool]:
    return run_assertions(program, ASSERTIONS if assertions is None else assertions, LIMITS)


EQUAL_TO_ALL = """
class Anything:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __lt__(self, other): return True
    __gt__ = __le__ = __ge__ = __lt__
    def __sub__(self, other): return 0
    __rsub__ = __sub__
    def __abs__(self): return 0
    def __hash__(self): return 0
    def __float__(self): return 0.0
def f(x): return Anything()
"""
FRAMES = """
import gc, sys
def f(x):
    frame = sys._getframe()
    while frame:
        for value in frame.f_locals.values():
            if isinstance(value, str) and 'assert' in value:
                return int(value.rpartition('==')[2])
        frame = frame.f_back
    for value in gc.get_objects():
        if isinstance(value, (list, dict)) and 'assert f(1) == 2' in str(value)[:10000]:
            return 2
    return None
"""
PATCHES = """
import builtins, json, math, unittest
builtins.AssertionError = builtins.Exception
builtins.abs = lambda value: 0
builtins.all = builtins.any = builtins.isinstance = lambda *args: True
math.isclose = lambda *args, **kwargs: True
json.dumps = lambda *args: '[0, 1]'
unittest.TestCase.assertEqual = lambda *args: None
def isclose(*args, **kwargs): return True
def abs(value): return 0
def f(x): return 9
"""
HELPERS = """
from math import trunc as operator
import operator as Counter
class math:
    isclose = allclose = eq = lambda *args, **kwargs: True
np = operator = math
def Counter(values): return 0
def allclose(*args): return True
def f(x): return 9
"""
VERDICTS = """
import os
for number in range(3, 30):
    try: os.write(number, b"0\\n1\\n")
    except OSError: pass
def f(x): return 9
"""


@pytest.mark.parametrize(
    ("program", "assertions"),
    [
        (EQUAL_TO_ALL, ["assert f(1) == 2", "assert f(1) < 0", "assert abs(f(1) - 2) < 1e-6", "assert f(1) in [2, 3]"]),
        (FRAMES, ASSERTIONS),
        (
            PATCHES,
            ["assert f(1) == 2", "assert abs(f(1) - 2) < 1e-6", "assert isclose(f(1), 2)", "assert all([f(1) == 2])"],
        ),
        (PATCHES, ["import math\nassert math.isclose(f(1), 2)", "assert math.isclose(f(1), 2)"]),
        (PATCHES, ["import unittest\nunittest.TestCase().assertEqual(f(1), 2)"]),
        ("from math import erfc as abs\ndef f(x): return 9", ["assert abs(f(1) - 2) < 1e-6"]),
        ("from math import floor as f\ndef abs(x): return 0", ["assert abs(f(9.5) - 2) < 1e-6"]),
        ("def abs(x): return 0\ndef sum(values): return 9", ["assert abs(sum([1, 1]) - 2) < 1e-6"]),
        (
            "from operator import truth as all, ne as isclose\nimport operator as sorted\ndef f(x): return 9",
            [
                "assert all([f(1) == 2])",
                "assert isclose(f(1), 2)",
                "assert sorted([f(1)]) == [2]",
            ],
        ),
        (
            HELPERS,
            [
                "assert math.isclose(f(1), 2)",
                "assert np.allclose(f(1), 2)",
                "assert Counter([f(1)]) == Counter([2])",
                "assert allclose(f(1), 2)",
                "assert operator.eq(f(1), 2)",
            ],
        ),
        (VERDICTS, ASSERTIONS),
        ("print('0\\n1')\nimport os\nos._exit(0)", ASSERTIONS),
        ("def f(x): raise SystemExit(0)", ASSERTIONS),
        ("import sys\nsys.setrecursionlimit(10**9)\ndef f(x): return f(x)", ASSERTIONS),
        ("def f(x):\n    value = []\n    value.append(value)\n    return value", ASSERTIONS),
        ("def f(x): return '9' * 10**8", ASSERTIONS),
    ],
    ids=[
        "equal-to-all",
        "frames",
        "patches",
        "math",
        "unittest",
        "import-as-abs",
        "abs-beside-an-import",
        "abs-beside-a-builtin",
        "import-as-builtins",
        "helpers",
        "verdicts",
        "exit",
        "raise",
        "recursion",
        "cycle",
        "large",
    ],
)
def test_a_cheat_earns_nothing(program: str, assertions: list[str]) -> None:
    assert passed(program, assertions) == [False] * len(assertions)


def test_what_is_expected_is_never_in_the_programs_memory() -> None:
    program = """
import ctypes
def f(x):
    needle = b"assert " + b"f(1) == "
    for block in (id(object()) & ~0xfffff,):
        data = ctypes.string_at(block, 2**20)
        if needle in data: return int(data[data.index(needle) + len(needle):][:1])
"""
    assert passed(program) == [False, False]


@pytest.mark.parametrize(
    ("program", "assertions"),
    [
        ("def f(x):\n    return x + 1", ASSERTIONS),
        ("import sys\ndef f(x):\n    return x + 1\nif __name__ == '__main__':\n    sys.exit(0)", ASSERTIONS),
        ("f = lambda x: {'a': (x, [1.5, None]), 'b': {1, 2}}", ["assert f(1) == {'a': (1, [1.5, None]), 'b': {2, 1}}"]),
        ("from collections import Counter\nf = Counter", ["assert f('aab') == {'a': 2, 'b': 1}"]),
        ("class Stack:\n    def __init__(self): self.items = []\n    def push(self, x): self.items.append(x)", [
            "stack = Stack()\nstack.push(3)\nassert stack.items == [3]\nassert isinstance(stack, Stack)",
            "stack.push(4)\nassert stack.items[-1] == 4",
        ]),
        ("class P:\n    def __init__(self, x): self.x = x\n    def __eq__(self, other): return self.x == other.x", [
            "assert P(1) == P(1)", "assert not P(1) == P(2)", "assert P(1) != P(2)",
        ]),
        ("def f(values): values.sort()", ["values = [3, 1, 2]\nf(values)\nassert values == [1, 2, 3]"]),
        ("def f(n):\n    for i in range(n): yield i", ["assert list(f(3)) == [0, 1, 2]", "assert next(f(1)) == 0"]),
        ("def f(g, values): return [g(v) for v in values]", [
            "assert f(lambda x: x * 2, [1, 2]) == [2, 4]", "assert f(len, ['ab']) == [2]",
        ]),
        ("def f(x):\n    if x < 0: raise ValueError('negative')\n    return x", [
            "try:\n    f(-1)\n    assert False\nexcept ValueError as error:\n    assert str(error) == 'negative'",
        ]),
        ("import math\ndef f(r): return math.pi * r", ["assert math.isclose(f(1), 3.14159, rel_tol=1e-4)"]),
        ("from math import isclose, factorial\nf = factorial", ["assert f(2000) == factorial(2000)"]),
        ("def pow(x, n): return x ** n if n else 'mine'", ["assert pow(2, 0) == 'mine'"]),
        ("from fractions import Fraction\nimport datetime\nf = lambda: (Fraction(1, 3), datetime.date(2024, 2, 29))", [
            "import fractions, datetime\nassert f() == (fractions.Fraction(1, 3), datetime.date(2024, 2, 29))",
        ]),
        ("import numpy as np\nf = lambda n: np.arange(n) * 1.5", [
            "assert np.allclose(f(3), [0, 1.5, 3])", "assert f(3).shape == (3,)",
        ]),
        ("f = lambda x: x / 4", ["assert math.isclose(f(2), 0.5)", "assert np.allclose(f(2), 0.5)"]),
        ("f = list", ["assert Counter(f('aab')) == Counter('aba')", "assert isclose(len(f('aab')), 3)"]),
        ("from math import *\nfrom numpy import *\nf = lambda x: x", [
            "assert allclose(f(2.0), sqrt(4))", "assert array_equal(f(1), 1)", "assert abs(f(-1)) == max(0, 1)",
        ]),
        ("from datetime import datetime\nf = lambda day: day.year", [
            "assert f(datetime.strptime('2024', '%Y')) == 2024", "assert f(datetime(2024, 2, 29)) == 2024",
        ]),
        ("def math(x): return x + 1\ndef copy(x): return [*x]", ["assert math(1) == 2", "assert copy([1]) == [1]"]),
        ("class Counter:\n    n = 0\n    def add(self): self.n += 1", [
            "counter = Counter()\ncounter.add()\nassert counter.n == 1",
        ]),
        ("from math import pow as power\nfrom operator import pow", ["assert pow(2, 3) == 8"]),
        ("count = 0\ndef f():\n    global count\n    count += 1", ["f()\nassert True", "assert count == 1"]),
        ("from enum import IntEnum\nclass C(IntEnum):\n    RED = 1\nf = lambda: C.RED", ["assert f() == 1"]),
    ],
)  # fmt: skip
def test_an_honest_program_passes(program: str, assertions: list[str]) -> None:
    assert passed(program, assertions) == [True] * len(assertions)


def test_assertions_that_held_before_one_that_hangs_count() -> None:
    program = "def f(x):\n    while x == 2: pass\n    return x + 1"
    assert run_assertions(program, ["assert f(1) == 2", "assert f(2) == 3"], Limits(1.0, 2**29)) == [True, False]


FORK_EXEC = """
import _posixsubprocess, os
def start(*words):
    words = [word.encode() for word in words]
    r, w = os.pipe()
    _posixsubprocess.fork_exec(words, words[:1], True, (), None, None, -1, -1, -1, -1, -1, -1, r, w, False, True, -1,
        None, None, None, -1, None, False)
"""
ESCAPES = {
    "fork_exec": FORK_EXEC + "start('/usr/bin/touch', '{folder}/escaped')\nimport time\ntime.sleep(0.5)",
    "open": "import os\nos.open('escaped', os.O_CREAT | os.O_WRONLY, dir_fd=os.open('{folder}', os.O_RDONLY))",
    "mkdir": "import os\nos.mkdir('escaped', dir_fd=os.open('{folder}', os.O_RDONLY))",
    "unlink": "import os\nos.unlink('kept', dir_fd=os.open('{folder}', os.O_RDONLY))",
    "remove": "import os\nos.remove('{folder}/kept')",
}


@apart
@pytest.mark.parametrize("name", ESCAPES)
def test_nothing_outside_is_written_or_deleted(name: str, tmp_path: Path) -> None:
    (tmp_path / "kept").touch()
    run_program(ESCAPES[name].replace("{folder}", str(tmp_path)), "", LIMITS)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


@apart
def test_no_file_of_the_machine_but_pythons_and_no_other_process_is_seen(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("the key")
    program = f"""
import os
for path in ("/etc/passwd", "/proc/self/environ", "/proc/1/environ", {str(tmp_path / "secret")!r}, "/home", "/var"):
    print(os.path.exists(path))
print(os.getpid() < 5, os.getppid() < 5, sorted(os.environ) == ["LANG", "OPENBLAS_NUM_THREADS", "PATH", "TMPDIR"])
try:
    os.kill({os.getpid()}, 0)
except (ProcessLookupError, PermissionError):
    print("no process")
"""
    os.environ["A_KEY"] = "secret"
    try:
        assert run_program(program, "", LIMITS) == "False\n" * 6 + "True True True\nno process\n"
    finally:
        del os.environ["A_KEY"]


SLEEPERS = (
    FORK_EXEC
    + """
for _ in range(6):
    start("/usr/bin/sleep", "SECONDS")
def f(x): return x + 1
"""
)


def sleepers(seconds: str) -> list[str]:
    found = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout.splitlines()
    return [line for line in found if line.startswith("/usr/bin/sleep") and seconds in line]


@apart
@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="fork_exec takes other arguments in each Python")
def test_all_that_a_program_started_is_dead_afterwards() -> None:
    seconds = f"{1000 + os.getpid()}.25"
    run_program(SLEEPERS.replace("SECONDS", seconds), "", LIMITS)
    assert sleepers(seconds) == []
    assert passed(SLEEPERS.replace("SECONDS", seconds)) == [True, True]
    deadline = time.monotonic() + 5  # the kernel ends a namespace without waiting for its last process
    while sleepers(seconds) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert sleepers(seconds) == []


@pytest.mark.parametrize("level", ["namespaces", "limits"])
@pytest.mark.parametrize(
    "program",
    [
        "import os\nos.mkfifo('output')",
        "import os\nfor name in os.listdir('.'): os.remove(name)",
        "import os\nopen('output', 'w')\nos.rename('output', 'other')",
        "import os\nfor _ in range(1500):\n    os.mkdir('d')\n    os.chdir('d')",
        "for n in range(100_000):\n    try: open(str(n), 'w')\n    except OSError: break",
    ],
    ids=["fifo", "remove", "rename", "nested", "many"],
)
def test_files_that_hang_or_crash_the_reward(level: str, program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if level == "namespaces" and sandbox.isolation() != "namespaces":
        pytest.skip("this machine grants no user namespaces to this process")
    monkeypatch.setattr(sandbox, "isolation", lambda: level)
    began = time.monotonic()
    run_program(program, "", Limits(2.0, 2**29))
    assert passed("def f(x): return x + 1") == [True, True]
    assert time.monotonic() - began < 15


def test_without_namespaces_the_verdicts_are_as_safe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "isolation", lambda: "limits")
    assert passed("def f(x): return x + 1") == [True, True]
    assert passed(EQUAL_TO_ALL) == [False, False]
    assert run_program("print(input())", "hi", LIMITS) == "hi\n"


def test_a_machine_without_namespaces_is_named_and_refused_where_they_are_required(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sandbox, "isolation", lambda: "limits")
    assert "under limits alone" in sandbox.describe()
    with pytest.raises(RewardError, match=r"rewards\.sandbox: required, but this machine grants no user namespaces"):
        sandbox.require()
    monkeypatch.setattr(sandbox, "isolation", lambda: "namespaces")
    assert "in namespaces of their own" in sandbox.describe()
    sandbox.require()
