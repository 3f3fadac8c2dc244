"""Linux namespaces for the sandbox's processes: user, mount, process, network and IPC (user_namespaces(7)).

The process that enters them becomes the parent of one that is alone: its root folder is an empty file system in memory
with the folders of Python below it, read-only; it sees no process of the machine, has no network and no privilege.
When it ends, the kernel ends whatever it started.
"""

import ctypes
import os
import signal
import struct
import sys
from pathlib import Path

_NEW_MOUNTS, _NEW_IPC, _NEW_USER, _NEW_PROCESSES, _NEW_NETWORK = 0x20000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
_NOSUID, _NODEV, _BIND, _RECURSIVE, _PRIVATE = 0x2, 0x4, 0x1000, 0x4000, 0x40000
_DETACH = 2
_SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_SYS_MOUNT_SETATTR, _AT_RECURSIVE, _READ_ONLY = 442, 0x8000, 1
_PR_SET_PDEATHSIG, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 1, 24, 38
_CAPABILITIES_3 = 0x20080522
_DEVICES = ("null", "zero", "urandom", "random")
_ROOT = "/proc"  # where the new root is put together: what lies there is not needed any more
_FOLDER = ".program"
_SIZE = "size=64m,nr_inodes=4096,mode=755"

_libc = ctypes.CDLL(None, use_errno=True)


def enter(prefixes: list[str]) -> None:
    """Fork into namespaces of their own; returns in the child, whose working directory is an empty folder.

    The parent waits for it and exits with its code.

    Raises:
        OSError: the kernel grants no user namespace, or a mount fails.
    """
    user, group = os.getuid(), os.getgid()
    _unshare(_NEW_USER | _NEW_MOUNTS | _NEW_PROCESSES | _NEW_NETWORK | _NEW_IPC)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    if child := os.fork():
        _, status = os.waitpid(child, 0)
        os._exit(max(os.waitstatus_to_exitcode(status), 0) or int(os.WIFSIGNALED(status)))
    end_with_parent()
    _change_root(prefixes)
    # The first process of a namespace is spared by signals of its own, such as that of its processor time.
    if child := os.fork():
        give_up_privileges()
        _await_all(child)


def own_processes() -> None:
    """The next child of this process, and all below it, see no process but their own."""
    _unshare(_NEW_PROCESSES)


def counts_processes() -> bool:
    """Whether RLIMIT_NPROC counts those of this user namespace alone: from Linux 5.14 on."""
    major, minor = os.uname().release.split(".")[:2]
    return (int(major), int(minor)) >= (5, 14)


def end_with_parent() -> None:
    """Have the kernel kill this process when its parent ends."""
    if sys.platform == "linux":
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def give_up_privileges() -> None:
    """Drop what a new user namespace grants, and what a program with a set-user-id bit would."""
    for capability in range(64):
        _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    header, nothing = struct.pack("Ii", _CAPABILITIES_3, 0), bytes(24)
    _check(_libc.capset(header, nothing), "capset")


def _await_all(first: int) -> None:
    """Be the first process of a namespace: reap orphans, and exit with the code of `first`."""
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == first:
            os._exit(max(os.waitstatus_to_exitcode(status), 0) or int(os.WIFSIGNALED(status)))


def _change_root(prefixes: list[str]) -> None:
    _mount(None, "/", None, _RECURSIVE | _PRIVATE)
    _mount("tmpfs", _ROOT, "tmpfs", _NOSUID | _NODEV, _SIZE)
    for prefix in prefixes:
        _show(prefix)
    Path(_ROOT, "dev").mkdir()
    for device in _DEVICES:
        Path(_ROOT, "dev", device).touch()
        _mount(f"/dev/{device}", f"{_ROOT}/dev/{device}", None, _BIND)
    for folder in (_FOLDER, "tmp", ".old"):
        Path(_ROOT, folder).mkdir()
    _check(_libc.syscall(_SYS_PIVOT_ROOT[os.uname().machine], _ROOT.encode(), f"{_ROOT}/.old".encode()), "pivot_root")
    os.chdir("/")
    _check(_libc.umount2(b"/.old", _DETACH), "umount2")
    Path("/.old").rmdir()
    os.chdir(f"/{_FOLDER}")
    os.environ["TMPDIR"] = f"/{_FOLDER}"


def _show(folder: str) -> None:
    """The same folder below the new root, read-only; a link as the same link."""
    place = Path(_ROOT, folder.lstrip("/"))
    if place.is_symlink() or place.exists() or not Path(folder).exists():
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    if Path(folder).is_symlink():
        place.symlink_to(Path(folder).readlink())
        return
    place.mkdir()
    _mount(folder, str(place), None, _BIND | _RECURSIVE)
    attributes = struct.pack("QQQQ", _READ_ONLY, 0, 0, 0)
    number = _libc.syscall(_SYS_MOUNT_SETATTR, -100, str(place).encode(), _AT_RECURSIVE, attributes, len(attributes))
    _check(number, f"mount_setattr {folder}")


def _unshare(flags: int) -> None:
    _check(_libc.unshare(flags), "unshare")


def _mount(source: str | None, target: str, kind: str | None, flags: int, data: str = "") -> None:
    words = [None if word is None else word.encode() for word in (source, target, kind)]
    _check(_libc.mount(*words, ctypes.c_ulong(flags), data.encode() or None), f"mount {target}")


def _check(result: int, call: str) -> None:
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{call}: {os.strerror(error)}")
