"""The house of docs/architecture.md, held against the imports of every file: inside functions and for typing, too."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "grpo_plugin"
PACKAGE = SOURCE.name
LINES_OF_A_FILE, LINES_OF_A_FUNCTION = 350, 60

# From top to bottom; rooms in one line are one floor. A file may import from its own floor and from those below.
FLOORS = [
    {"plugins"},
    {"cli"},
    {"launcher", "cloud"},
    {"trainer"},
    {"run"},
    {"console"},
    {"validation"},
    {"planning", "convert", "stats", "quickstart"},
    {"session"},
    {"rollout"},
    {"environments"},
    {"prompts", "scoring"},
    {"recipe"},
    {"compat"},
    {"algorithms"},
    {"config"},
    {"errors", "files"},
]
FLOOR_OF = {room: number for number, floor in enumerate(FLOORS) for room in floor}

FILES = sorted(SOURCE.rglob("*.py"))


def module_of(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


MODULES = {module_of(path): path for path in FILES}


def room_of(module: str) -> str:
    """`grpo_plugin.rollout.sync.file` → `rollout`; the package itself, which names the plugins, has none."""
    return (*module.split("."), "")[1]


def imports_of(path: Path) -> set[str]:
    """The modules of this package that a file imports, wherever in the file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else node.module for name in inner}
    return {name for name in found if name.split(".")[0] == PACKAGE and name in MODULES}


IMPORTS = {module: imports_of(path) - {module} for module, path in MODULES.items()}


def test_every_room_has_its_floor():
    assert {room_of(module) for module in MODULES} - {""} <= FLOOR_OF.keys()


def test_no_arrow_runs_up():
    up = [
        f"{module} imports {imported}"
        for module, names in IMPORTS.items()
        for imported in sorted(names)
        if room_of(module) and room_of(imported) and FLOOR_OF[room_of(imported)] < FLOOR_OF[room_of(module)]
    ]
    assert not up, "\n".join(up)


def test_the_package_itself_is_imported_by_no_room_below_the_plugins():
    assert not [
        module for module, names in IMPORTS.items() if PACKAGE in names and room_of(module) not in ("plugins", "")
    ]


def test_no_circle_of_files():
    without_package = {module: names - {PACKAGE} for module, names in IMPORTS.items() if module != PACKAGE}
    try:
        TopologicalSorter(without_package).prepare()
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))


def test_scoring_and_rollout_do_not_know_each_other():
    rooms = {"scoring", "rollout"}
    assert not [
        f"{module} imports {imported}"
        for module, names in IMPORTS.items()
        for imported in names
        if {room_of(module), room_of(imported)} == rooms
    ]


@pytest.mark.parametrize(("room", "libraries"), [("algorithms", {"torch"}), ("config", {"pydantic", "pydantic_core"})])
def test_a_room_imports_its_libraries_alone(room, libraries):
    own = {"algorithms": {"algorithms", "config", "errors"}, "config": {"config", "errors"}}[room]
    for path in (SOURCE / room).rglob("*.py"):
        assert {room_of(name) for name in imports_of(path)} <= own, path
        assert libraries_of(path) <= libraries, path


def libraries_of(path: Path) -> set[str]:
    """Installed packages that a file imports; the standard library and this package are left out."""
    import sys

    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names - sys.stdlib_module_names - {PACKAGE}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_files_and_functions_are_short(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= LINES_OF_A_FILE
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            length = node.end_lineno - node.lineno + 1
            assert length <= LINES_OF_A_FUNCTION, f"{node.name}: {length} lines"
