"""The program's side: it runs the program, then does what the judge asks for, one request after the other."""

import builtins
import marshal
import os
import sys
import types
from typing import Any

import messages

_FORBIDDEN = (
    "socket.", "subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.kill",
    "ctypes.dlsym", "pty.", "ftplib.", "urllib.", "http.", "smtplib.", "os.symlink", "os.link", "os.chmod", "os.chown",
    "shutil.",
)  # fmt: skip
_PATHS = ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.truncate")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def run(program: str, space: dict[str, Any]) -> None:
    """Run the program in `space`, as a script."""
    space["__builtins__"] = builtins
    exec(compile(program, "program.py", "exec"), space)  # runs the model's program


def serve(program: str, socket: int) -> None:
    """Run the program, then answer requests until the judge ends; never returns."""
    forbid(os.getcwd())  # noqa: PTH109
    space: dict[str, Any] = {"__name__": "__main__"}
    try:
        run(program, space)
    except SystemExit:
        pass  # a script that ends so has defined its functions all the same
    except BaseException:
        os._exit(1)
    server = _Server(space)
    while True:
        try:
            request = messages.receive(socket)
        except EOFError:
            os._exit(0)
        messages.send(socket, server.answer(request))


class _Server:
    def __init__(self, space: dict[str, Any]) -> None:
        self._space = space
        self._objects: list[Any] = []

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """`{"value": …, "args": …}`: the result, and what became of the arguments; or `{"error": [type, text]}`."""
        try:
            args, kwargs = self._decode(request["args"]), self._decode(request["kwargs"])
            value = self._do(request["do"], request["on"], args, kwargs)
            return {"value": self._encode(value), "args": self._encode(args)}
        except BaseException as error:
            return {"error": [type(error).__name__, str(error)[:1000]]}

    def _do(self, what: str, on: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        if what == "name":
            return self._space[on]
        target = self._objects[on]
        if what == "call":
            return target(*args, **kwargs)
        if what == "getattr":
            return getattr(target, args[0])
        if what == "isinstance":
            return isinstance(args[0], target)
        method = getattr(type(target), what, None)
        if method is None:
            raise TypeError(f"{type(target).__name__} has no {what}")
        return method(target, *args)

    def _encode(self, value: Any) -> Any:
        return messages.encode(value, self._encode_other)

    def _encode_other(self, value: Any) -> Any:
        if isinstance(value, types.ModuleType):
            return {"module": value.__name__}
        self._objects.append(value)
        return {"object": [len(self._objects) - 1, callable(value)]}

    def _decode(self, message: Any) -> Any:
        return messages.decode(message, self._object_of)

    def _object_of(self, message: dict[str, Any]) -> Any:
        ((kind, content),) = message.items()
        if kind == "object":
            return self._objects[content[0]]
        if kind == "builtin":
            return getattr(builtins, content)
        if kind == "code":
            return types.FunctionType(marshal.loads(content.encode("latin-1")), self._space)
        raise ValueError(f"{kind}: no such kind of value")


def forbid(folder: str) -> None:
    """Forbid sockets, other programs, and touching files outside `folder`; a hook cannot be taken away again."""

    def inside(path: object) -> bool:
        if isinstance(path, int):
            return True
        return (os.path.realpath(os.fsdecode(str(path))) + os.sep).startswith(folder + os.sep)

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event.startswith(_FORBIDDEN):
            raise PermissionError(f"{event} is not allowed here")
        if event == "ctypes.dlopen" and arguments[0] is not None:
            raise PermissionError("loading libraries is not allowed here")
        if event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITING and not inside(arguments[0]):
            raise PermissionError("writing outside the folder is not allowed here")
        if event in _PATHS and arguments[0] is not None and not inside(os.path.join(folder, str(arguments[0]))):  # noqa: PTH118
            raise PermissionError(f"{event} outside the folder is not allowed here")

    sys.addaudithook(hook)
