"""The judge's side: it runs the assertions, and calls the program, which runs in another process, for its functions.

What comes back is plain data, and all that is compared is compared here, with this process's own builtins and modules.
An object of the program's own is a `Remote`: it can be called and looked into, and equals no data.
"""

import ast
import builtins
import importlib
import marshal
import math
import os
import types
from typing import Any

import messages
import subject

# Modules that assertions may take from the program's imports; the judge imports its own.
_MODULES = frozenset(
    ("math", "cmath", "collections", "itertools", "functools", "re", "string", "json", "datetime", "decimal")
) | frozenset(("fractions", "heapq", "bisect", "operator", "random", "statistics", "copy", "typing", "numpy"))


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
        return messages.encode(value, _stand_in)

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
        self._own: dict[str, Any] = {"__name__": "__main__", "__builtins__": builtins, "isclose": math.isclose}
        self._own |= _imports(program)
        names = {name for assertion in assertions for name in _names(assertion)} - self._own.keys()
        own = {name for name in names if not hasattr(builtins, name)}
        # A builtin's name means the builtin, but where the tests name nothing else: then it is what they test.
        self._asked = own or names

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


def _imports(program: str) -> dict[str, Any]:
    """What the program's own `import` lines at its top would make of modules that do no harm."""
    space: dict[str, Any] = {}
    try:
        body = ast.parse(program).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return space
    for node in body:
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        modules += [node.module or "."] if isinstance(node, ast.ImportFrom) else []
        if modules and all(module.partition(".")[0] in _MODULES for module in modules):
            try:
                exec(compile(ast.Module([node], []), "imports.py", "exec"), space)
            except Exception:
                continue
    space.pop("__builtins__", None)
    return space


def _names(assertion: str) -> set[str]:
    try:
        return {node.id for node in ast.walk(ast.parse(assertion)) if isinstance(node, ast.Name)}
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()


def _stand_in(value: Any) -> Any:
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
