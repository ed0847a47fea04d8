"""Who writes where: one process at a time to one output, and what processes that are gone have left."""

import contextlib
import json
import os
import shutil
import socket
import tempfile
from collections.abc import Generator
from pathlib import Path

from keras_gw_resnet.errors import InputError

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None

PARTIAL, LOCK = ".partial-", ".lock"


def _host():
    return socket.gethostname().replace("/", "_") or "localhost"


def _alive(pid):
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def partial_folder(folder: Path | str) -> Path:
    """Make a folder for what is being written, whose name says whose it is, and remove those of processes that are gone."""
    remove_partials(folder)
    return Path(tempfile.mkdtemp(prefix=f"{PARTIAL}{_host()}-{os.getpid()}-", dir=folder))


def remove_partials(folder: Path | str) -> None:
    """Remove what processes of this machine that are gone were writing in a folder; links are left alone."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            host, _, rest = entry.name.removeprefix(PARTIAL).rpartition("-")[0].rpartition("-")
            if not entry.name.startswith(PARTIAL) or host != _host() or not rest.isdecimal():
                continue
            if not _alive(int(rest)) and entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)


@contextlib.contextmanager
def owned(path: Path | str, remedy: str = "choose another output path") -> Generator[None]:
    """Be the only process that writes to a path while the block runs.

    A lock file beside it, `.NAME.lock`, or `.lock` in a folder beside which nothing can be written, holds the owner's process and machine. That of a process that is gone is taken over.

    Args:
        path: File or folder that is to be written.
        remedy: What else the user can do, for the message.

    Raises:
        InputError: Another process owns the path, or may: it runs on another machine.
    """
    path = Path(os.path.abspath(path))  # noqa: PTH100  resolve() would follow links
    lock, made = path.with_name(f".{path.name[:200]}.lock"), [p for p in path.parents if not p.exists()]
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir() and not os.access(lock.parent, os.W_OK):
            lock = path / LOCK
        held = _claim(lock, path, remedy)
    except OSError as error:
        _remove_empty(made)
        raise InputError(f"{path}: cannot write there ({error.strerror}); choose another output path") from error
    except InputError:
        _remove_empty(made)
        raise
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        os.close(held)
        _remove_empty(made)


def _remove_empty(folders):
    with contextlib.suppress(OSError):
        for folder in folders:  # the innermost first
            folder.rmdir()


def _claim(lock, path, remedy):
    """Return the descriptor of the lock file, which is now this process's."""
    while True:
        held = os.open(lock, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o644)
        try:
            free, owner = _try_lock(held), _owner(held)
            if owner is None and free is False:  # it is about to say who it is
                owner = {"pid": "?", "host": _host()}
            if owner and (free is False or owner["host"] != _host() or (free is None and _alive(owner["pid"]))):
                raise InputError(
                    f"{path}: is being written by process {owner['pid']} on {owner['host']}; wait for it, or {remedy}"
                    + ("" if owner["host"] == _host() else f"; where that process is gone, remove {lock}")
                )
            # Its last owner may have removed the file between the two steps: then it is another file by now.
            if lock.exists() and os.fstat(held).st_ino == lock.stat().st_ino:
                os.ftruncate(held, 0)
                os.pwrite(held, json.dumps({"pid": os.getpid(), "host": _host()}).encode(), 0)
                return held
        except BaseException:
            os.close(held)
            raise
        os.close(held)


def _try_lock(held):
    """Lock a file: True where that worked, False where another process has it, None where the file system has no locks."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _owner(held):
    """Return process and machine in a lock file, None where it says nothing of use."""
    with contextlib.suppress(ValueError, TypeError, KeyError, RecursionError, AttributeError):
        owner = json.loads(os.pread(held, 4096, 0))
        return {"pid": int(owner["pid"]), "host": str(owner["host"])[:100]}
    return None
