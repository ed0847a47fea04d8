"""Write files whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from keras_gw_resnet.errors import InputError
from keras_gw_resnet.owners import partial_folder, remove_partials

if TYPE_CHECKING:
    import h5py

HDF5_SUFFIXES = (".hdf5", ".hdf", ".h5")
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
SPARE_BYTES = 1 << 20


def require_space(path: Path | str, needed: float, remedy: str = "choose another output path") -> None:
    """Raise InputError when less than so many bytes are free where `path` is to be written.

    So that nobody waits for what cannot be kept.
    """
    folder = next(p for p in Path(path).absolute().parents if p.exists())
    free = shutil.disk_usage(folder).free
    if free < needed + SPARE_BYTES:
        raise InputError(
            f"{path}: needs {needed / 1e6:.0f} MB of disk space, {free / 1e6:.0f} MB are free there; {remedy}"
        )


def require_memory(needed: float, what: str) -> None:
    """Raise InputError when `what` takes so many bytes that it is more than half of this machine's memory."""
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > there / 2:
        raise InputError(
            f"{what}: takes {needed / 1e9:.3g} GB of memory, and {there / 1e9:.0f} GB are there; ask for less"
        )


@contextlib.contextmanager
def written_aside(path: Path | str) -> Generator[Path]:
    """Give a temporary path beside `path`, and rename it to `path` when the block ends well.

    Works for a file or a folder that the block creates. When the block fails, what it wrote is removed and
    whatever stood at `path` before is untouched.

    Yields:
        A `pathlib.Path` in the same folder with the same suffix.

    Raises:
        InputError: The folder cannot be written to, or the disk is full.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        holder = partial_folder(path.parent)
    except OSError as error:
        raise InputError(f"{path}: cannot write there ({error.strerror}); choose another output path") from error
    try:
        aside = holder / path.name
        yield aside
        if path.is_dir() and aside.is_dir():
            shutil.rmtree(path)
        aside.replace(path)
    except InputError as error:
        raise InputError(str(error).replace(str(aside), str(path))) from error
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise InputError(f"{path}: cannot be written ({error.strerror}); choose another output path") from error
    finally:
        shutil.rmtree(holder, ignore_errors=True)


class _Lenient:
    """A file that remembers the first failure to write and pretends to go on: libhdf5 does not survive one."""

    def __init__(self, raw):
        self._raw, self.error = raw, None

    def _try(self, action, *given):
        try:
            return action(*given)
        except OSError as error:
            self.error = self.error or error
            return 0

    def write(self, data):
        rest = memoryview(data).cast("B")
        size = len(rest)
        while len(rest) and self.error is None:
            rest = rest[self._try(self._raw.write, rest) :]
        return size

    def read(self, size=-1):
        return self._raw.read(size)

    def readinto(self, buffer):
        size = self._raw.readinto(buffer)
        buffer[size:] = bytes(len(buffer) - size)
        return len(buffer)

    def seek(self, offset, whence=os.SEEK_SET):
        return self._raw.seek(offset, whence)

    def tell(self):
        return self._raw.tell()

    def truncate(self, size=None):
        return self._try(self._raw.truncate, size)

    def flush(self):
        self._try(self._raw.flush)


@contextlib.contextmanager
def new_hdf5(path: Path | str) -> Generator[h5py.File]:
    """Open a new HDF5 file for writing.

    Yields:
        h5py.File.

    Raises:
        OSError: The disk is full; when the block ends.
    """
    import h5py

    with Path(path).open("w+b", buffering=0) as raw:
        lenient = _Lenient(raw)
        with h5py.File(lenient, "w") as file:
            yield file
        if lenient.error is not None:
            raise lenient.error


def check_output(path: Path | str, overwrite: bool = False, *, folder_of: Iterable[str] | None = None) -> None:
    """Raise InputError when nothing can be written at `path`, or something stands there that is not to be replaced.

    Args:
        path: File or folder to write.
        overwrite: Whether an earlier output may be replaced.
        folder_of: None for a file; for a folder the names of what it will hold.
    """
    path = Path(path)
    remove_partials(path.parent)
    if not path.exists():
        _check_writable(path)
        return
    if not overwrite:
        raise InputError(f"{path}: exists already; choose another output path or add --overwrite")
    if folder_of is None and path.is_dir():
        raise InputError(f"{path}: is a folder; expected the name of a file to write")
    if folder_of is not None and not path.is_dir():
        raise InputError(f"{path}: is a file; expected the name of a folder to write")
    foreign = sorted({entry.name for entry in path.iterdir()} - set(folder_of)) if folder_of else []
    if foreign:
        raise InputError(f"{path}: holds {foreign[0]}, which is not of an earlier output; choose another output path")
    _check_writable(path)


def _check_writable(path):
    folder = next(p for p in path.absolute().parents if p.exists())
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        reason = f"{folder} is a file" if folder.is_file() else error.strerror
        raise InputError(f"{path}: cannot write there ({reason}); choose another output path") from error


def refuse_input(outputs: Iterable[Path | str], inputs: Iterable[Path | str]) -> None:
    """Raise InputError when one of the files to write is one of those to read."""
    for output in outputs:
        for given in inputs:
            if Path(output).exists() and Path(output).samefile(given):
                raise InputError(f"{output}: is one of the input files; choose another output path")
