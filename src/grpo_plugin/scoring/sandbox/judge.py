"""The judge's side: it runs the assertions, and calls the program, which runs in another process, for its functions.

What comes back is plain data, and all that is compared is compared here, with this process's own builtins and modules.
An object of the program's own is a `Remote`: it can be called and looked into, and equals no data.
"""

import ast
import builtins
import importlib
import marshal
import os
import types
from typing import Any

import messages
import subject

# Modules that assertions may use without importing them; the judge imports its own.
_MODULES = frozenset(
    ("math", "cmath", "collections", "itertools", "functools", "re", "string", "json", "datetime", "decimal")
) | frozenset(("fractions", "heapq", "bisect", "operator", "random", "statistics", "copy", "typing", "numpy"))
_BUILTINS = frozenset(dir(builtins))
# What assertions compare with, and the module that the judge takes it from.
_HELPERS = dict.fromkeys(("Counter", "OrderedDict", "defaultdict", "deque"), "collections") | {
    "isclose": "math", "allclose": "numpy", "array_equal": "numpy", "Fraction": "fractions", "Decimal": "decimal",
}  # fmt: skip
_COMPARING = frozenset(_HELPERS) | frozenset(("abs", "all", "any", "isinstance", "len", "round"))


def report(assertions: list[str], program: str, socket: int) -> None:
    """Print the places of the assertions that hold, a line each."""
    verdicts = os.dup(1)
    silence = os.open(os.devnull, os.O_RDWR)
    os.dup2(silence, 1)
    subject.forbid(os.getcwd())  # noqa: PTH109
    bench = _Bench(assertions, program, Link(socket))
    for place, assertion in enumerate(assertions):
        if bench.holds(assertion):
            os.write(verdicts, f"{place}\n".encode())
    os._exit(0)


class Link:
    """The connection to the program's process."""

    def __init__(self, socket: int) -> None:
        self._socket = socket

    def ask(self, what: str, on: Any, *args: Any, **kwargs: Any) -> Any:
        """The program's result; lists, dicts and sets among the arguments become what the program made of them.

        Raises:
            EOFError: the program's process has ended.
            Exception: of the type that the program raised, if it is one of Python's own, else a RuntimeError.
        """
        message = {"do": what, "on": on, "args": self._encode(list(args)), "kwargs": self._encode(kwargs)}
        messages.send(self._socket, message)
        answer = messages.receive(self._socket)
        if "error" in answer:
            raise _error(*answer["error"])
        for given, after in zip(args, self._decode(answer["args"]), strict=True):
            _become(given, after)
        return self._decode(answer["value"])

    def _encode(self, value: Any) -> Any:
        return messages.encode(value, _encode_other)

    def _decode(self, message: Any) -> Any:
        return messages.decode(message, self._object_of)

    def _object_of(self, message: dict[str, Any]) -> Any:
        ((kind, content),) = message.items()
        if kind == "module" and str(content).partition(".")[0] in _MODULES:
            return importlib.import_module(content)
        if kind != "object":
            raise ValueError(f"{kind}: no such kind of value")
        return Remote(self, int(content[0]))


class Remote:
    """An object of the program's own. It equals another of them if the program says so, and never plain data."""

    def __init__(self, link: Link, number: int) -> None:
        self._link, self._number = link, number

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._link.ask("call", self._number, *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return self._link.ask("getattr", self._number, name)

    def __instancecheck__(self, instance: Any) -> bool:
        return self._link.ask("isinstance", self._number, instance) is True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Remote) and self._link.ask("__eq__", self._number, other) is True

    def __hash__(self) -> int:
        return self._number

    def __iter__(self) -> Any:
        iterator = self._link.ask("__iter__", self._number)
        if not isinstance(iterator, Remote):
            return iter(iterator)
        return _items(iterator)

    def __next__(self) -> Any:
        return self._link.ask("__next__", self._number)

    def __len__(self) -> int:
        return int(self._link.ask("__len__", self._number))

    def __bool__(self) -> bool:
        return True

    def __getitem__(self, key: Any) -> Any:
        return self._link.ask("__getitem__", self._number, key)

    def __contains__(self, item: Any) -> bool:
        return self._link.ask("__contains__", self._number, item) is True

    def __str__(self) -> str:
        return str(self._link.ask("__str__", self._number))

    def __repr__(self) -> str:
        return str(self._link.ask("__repr__", self._number))


def _items(iterator: Remote) -> Any:
    while True:
        try:
            yield next(iterator)
        except StopIteration:
            return


class _Bench:
    """Runs the assertions, one after the other, in one space of names."""

    def __init__(self, assertions: list[str], program: str, link: Link) -> None:
        self._link = link
        self._own: dict[str, Any] = {"__name__": "__main__", "__builtins__": builtins}
        named = _Named(assertions)
        self._asked = named.asked()
        helpers = {name: module for name, module in _HELPERS.items() if name in named.names - self._asked}
        self._own |= _modules(named.modules) | _imports(program) | _members(helpers)

    def holds(self, assertion: str) -> bool:
        """Whether it can be run and raises nothing."""
        before = {}
        for name in self._asked - self._own.keys():
            try:
                before[name] = self._link.ask("name", name)
            except Exception:
                continue
        space = {**before, **self._own}
        try:
            exec(compile(assertion, "assertion.py", "exec"), space)
        except BaseException:
            return False
        finally:
            self._own |= {name: value for name, value in space.items() if before.get(name, self) is not value}
        return True


class _Named:
    """The names in the assertions, and which of them the program is asked for."""

    def __init__(self, assertions: list[str]) -> None:
        nodes = [node for assertion in assertions for node in _nodes(assertion)]
        self.names = {node.id for node in nodes if isinstance(node, ast.Name)}
        called = {node.func.id for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
        looked_into = {
            node.value.id for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
        }
        # A function of the program may be called `copy`; a module is never called.
        self.modules = {name for name in looked_into - called if name == "np" or name in _MODULES}
        stored = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        self._variables = (stored | {node.arg for node in nodes if isinstance(node, ast.arg)}) - called

    def asked(self) -> set[str]:
        """A name of a builtin or a helper means just that, but where the tests name nothing else: then they test it."""
        names = self.names - self.modules
        for given in (_BUILTINS | _HELPERS.keys(), _COMPARING):
            if names - given - self._variables:
                return names - given
        return names


def _modules(names: set[str]) -> dict[str, Any]:
    found = {}
    for name in names:
        try:
            found[name] = importlib.import_module("numpy" if name == "np" else name)
        except Exception:
            continue
    return found


def _members(helpers: dict[str, str]) -> dict[str, Any]:
    modules = _modules(set(helpers.values()))
    return {name: getattr(modules[module], name) for name, module in helpers.items() if module in modules}


def _imports(program: str) -> dict[str, Any]:
    """What the program's own `import` lines at its top would make of modules that do no harm.

    No line may give another meaning to a builtin, a helper or a module that assertions use.
    """
    space: dict[str, Any] = {"__builtins__": builtins}
    for node in _body(program):
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        modules += [node.module or "."] if isinstance(node, ast.ImportFrom) else []
        if modules and all(module.partition(".")[0] in _MODULES for module in modules):
            node.names = [alias for alias in node.names if not _renames(alias)]  # type: ignore[attr-defined]
            try:
                exec(compile(ast.Module([node], []), "imports.py", "exec"), space)
            except Exception:
                continue
    del space["__builtins__"]
    return {name: value for name, value in space.items() if name not in _BUILTINS and name not in _HELPERS}


def _renames(alias: ast.alias) -> bool:
    """Whether it makes a module's name stand for something else, as in `import operator as math`."""
    return alias.asname != alias.name and (alias.asname == "np" or alias.asname in _MODULES)


def _body(program: str) -> list[ast.stmt]:
    try:
        return ast.parse(program).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []


def _nodes(assertion: str) -> list[ast.AST]:
    return [node for statement in _body(assertion) for node in ast.walk(statement)]


def _encode_other(value: Any) -> Any:
    if isinstance(value, Remote):
        return {"object": [value._number, True]}
    name = str(getattr(value, "__name__", ""))
    if value is not None and getattr(builtins, name, None) is value:
        return {"builtin": name}
    if isinstance(value, types.FunctionType) and value.__closure__ is None:
        return {"code": marshal.dumps(value.__code__).decode("latin-1")}
    raise TypeError(f"{type(value).__name__} cannot be given to the program")


def _become(given: Any, after: Any) -> None:
    """A list, dict or set that the program has changed in its own copy gets the same content here."""
    if type(given) is not type(after) or not isinstance(given, list | dict | set) or given == after:
        return
    given.clear()
    given.extend(after) if isinstance(given, list) else given.update(after)


def _error(name: str, text: str) -> Exception:
    kind = getattr(builtins, str(name), None)
    if isinstance(kind, type) and issubclass(kind, Exception):
        try:
            return kind(text)
        except TypeError:  # such as UnicodeDecodeError, which takes five arguments
            pass
    return RuntimeError(f"{name}: {text}")
