"""The one place where HDF5 files are opened for reading.

What a file declares is compared with what it holds before any of it is read; nothing outside HDF5 files is followed.
"""

import contextlib
import math
import os
import re
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from keras_gw_resnet.errors import MALFORMED, InputError, UnreadableError, first_line
from keras_gw_resnet.inputs import require_file

# A dataset may declare so many bytes, or so many times the file's size: strain compresses less.
LARGEST_PACKED, LARGEST_RATIO = 1 << 29, 100
LARGEST_CHUNK = 1 << 28
DEEPEST, MOST_OBJECTS, MOST_ATTRIBUTE = 32, 20_000, 4096
# Registered filters by number (HDF Group), those that the package hdf5plugin brings first.
PLUGIN_FILTERS = {
    **{32001: "blosc", 32026: "blosc2", 32015: "zstd", 32008: "bitshuffle", 32004: "lz4", 32013: "zfp", 307: "bzip2"},
    **{32017: "sz", 32024: "sz3", 32018: "fcidecomp", 32028: "sperr", 32012: "h5z-bitgroom"},
}
OTHER_FILTERS = {1: "deflate", 4: "szip", 305: "lzo", 32000: "lzf"}
_SIGNATURE = b"\x89HDF\r\n\x1a\n"


@contextlib.contextmanager
def open_hdf5(path: Path | str, expected: str = "an HDF5 file", otherwise: str | None = None) -> Generator[h5py.File]:
    """Open an HDF5 file for reading; whatever goes wrong in the block because of the file ends in InputError.

    Args:
        path: File.
        expected: What it should hold, for messages.
        otherwise: What is said of a file that is none, or a damaged one; None: the usual.

    Yields:
        h5py.File.

    Raises:
        InputError: The file is missing, damaged or malformed, or no HDF5.
        UnreadableError: It is locked, marked as being written, or may not be read.
    """
    path = require_file(path, expected)
    if not _is_hdf5(path):
        raise InputError(f"{path}: {otherwise or f'is no HDF5 file; expected {expected}'}")
    damaged = otherwise or "is a truncated or damaged HDF5 file, or a malformed one; fetch or write it again"
    try:
        file = h5py.File(path, "r")
    except MALFORMED as error:
        raise _reason(path, error, damaged) from error
    with file:
        try:
            yield file
        except InputError:
            raise
        except MALFORMED as error:
            raise InputError(f"{path}: {damaged} ({first_line(error)})") from error


def _is_hdf5(path):
    """Say whether a regular file begins as HDF5 does, with or without a user block."""
    try:
        with path.open("rb") as raw:
            size, at = path.stat().st_size, 0
            while at < size:
                raw.seek(at)
                if raw.read(8) == _SIGNATURE:
                    return True
                at = 2 * at or 512
    except OSError as error:
        raise UnreadableError(f"{path}: cannot be read ({error.strerror})") from error
    return False


def _reason(path, error, damaged):
    """Return the InputError for a file that HDF5 does not open, with HDF5's own reason and the remedy."""
    reason = re.sub(r"^(\[Errno \d+\] )?Unable to (synchronously )?open file \((.*)\)$", r"\3", first_line(error))
    if "unable to lock" in reason or isinstance(error, BlockingIOError):
        reason = reason.partition(", error message")[0]
        return UnreadableError(
            f"{path}: HDF5 cannot lock it ({reason}): another program writes it, or the file system knows no locks; wait, "
            "or set HDF5_USE_FILE_LOCKING=FALSE"
        )
    if "already open for" in reason or "SWMR" in reason:
        reason = reason.partition(" (may use")[0]
        return UnreadableError(
            f"{path}: is marked as being written ({reason}); wait, or, if its writer crashed, clear the mark with 'h5clear -s' "
            "(HDF5_USE_FILE_LOCKING=FALSE is not enough)"
        )
    if isinstance(error, PermissionError):
        return UnreadableError(f"{path}: cannot be read ({reason})")
    return InputError(f"{path}: {damaged} ({reason})")


def _entry(group, name, links=True):
    """Return a member of a group after looking where its link leads.

    Raises:
        InputError: A broken link, an external one to something else than an HDF5 file, or any where `links` is false.
    """
    link = group.get(name, getlink=True)
    if not links and not isinstance(link, h5py.HardLink):
        raise InputError(f"{group.file.filename}: {shown(name)} is a link; expected a file without")
    if isinstance(link, h5py.ExternalLink):
        own = Path(os.fsdecode(group.file.filename))
        places = [own.parent / link.filename, Path(link.filename)]
        target = next((place for place in places if place.is_file()), None)
        if target is None or not _is_hdf5(target):
            what = "is not there" if target is None else "is no HDF5 file"
            raise InputError(f"{own}: {name} is a link to {link.filename}, which {what}; put that file beside it")
    try:
        return group[name]
    except (KeyError, OSError, RuntimeError, ValueError) as error:
        if not isinstance(link, h5py.SoftLink | h5py.ExternalLink):
            raise
        where = f"{getattr(link, 'filename', '')} {link.path}".strip()
        raise InputError(
            f"{group.file.filename}: {name} is a broken link to {where} ({first_line(error)}); take it out or put back what it names"
        ) from error


def find(group: h5py.Group, path: str) -> Any:
    """Return the object at a path below a group, None where there is none.

    Raises:
        InputError: A broken link, or one to something else than an HDF5 file.
    """
    for name in filter(None, path.split("/")):
        if not isinstance(group, h5py.Group) or group.get(name, getlink=True) is None:
            return None
        group = _entry(group, name)
    return group


def datasets(file: h5py.Group, links: bool = True) -> Iterator[tuple[str, h5py.Dataset]]:
    """Yield (path, h5py.Dataset) of all datasets of a file, each once, in order of path within a group.

    Args:
        file: h5py.File or h5py.Group.
        links: Whether soft and external links are followed; else they are refused.

    Raises:
        InputError: Groups nested more than `DEEPEST` deep, or more than `MOST_OBJECTS` objects.
    """
    waiting, seen = [("", None, None)], set()
    while waiting:
        path, group, name = waiting.pop()
        entry = file if group is None else _entry(group, name, links)
        info = h5py.h5o.get_info(entry.id)  # ty: ignore[missing-attribute]
        if (info.fileno, info.addr) in seen:
            continue
        seen.add((info.fileno, info.addr))
        if isinstance(entry, h5py.Dataset):
            yield path, entry
        elif isinstance(entry, h5py.Group):
            if path.count("/") >= DEEPEST or max(len(seen), len(entry)) > MOST_OBJECTS:
                raise InputError(
                    f"{file.file.filename}: {shown(path)} is nested more than {DEEPEST} deep, or there are more than {MOST_OBJECTS} "
                    "objects; write what is needed into a file of its own"
                )
            waiting += [(f"{path}/{name}".lstrip("/"), entry, name) for name in reversed(list(entry))]


def shown(path: str) -> str:
    """Return the path of a dataset for a message, its middle left out where it is long."""
    return path if len(path) <= 60 else f"{path[:40]}...{path[-17:]}"


def require_held(dataset: h5py.Dataset, most: int = LARGEST_PACKED) -> h5py.Dataset:
    """Check that a dataset can be read: it holds what it declares, in this file, with filters that are there.

    Args:
        dataset: h5py.Dataset.
        most: Bytes that it may have however small the file is.

    Returns:
        The dataset.

    Raises:
        InputError: It declares more than the file holds, or keeps its values outside HDF5.
        UnreadableError: It is compressed with a filter that is not there.
    """
    where, size = f"{dataset.file.filename}: {shown(dataset.name or 'a dataset')}", dataset.file.id.get_filesize()
    if dataset.external or dataset.is_virtual:
        raise InputError(f"{where} keeps its values in other files; write them into this one")
    declared, stored = math.prod(dataset.shape or ()) * dataset.dtype.itemsize, dataset.id.get_storage_size()
    held = stored
    if dataset.chunks:
        chunk = math.prod(dataset.chunks) * dataset.dtype.itemsize
        needed = math.prod(-(-length // part) for length, part in zip(dataset.shape, dataset.chunks, strict=True))
        if declared and chunk > LARGEST_CHUNK:
            raise InputError(
                f"{where} is written in pieces of {chunk / 1e6:.0f} MB; expected {LARGEST_CHUNK / 1e6:.0f} MB at most, "
                "write it again in smaller ones ('h5repack -l CHUNK=65536')"
            )
        held = declared if dataset.id.get_num_chunks() >= needed else 0
        if declared and held:
            _require_filters(dataset, where)
    elif declared and (offset := dataset.id.get_offset()) is not None and offset + declared > size:
        held = 0
    if held < declared or stored > size or declared > max(most, LARGEST_RATIO * size):
        raise InputError(
            f"{where} declares {declared:.3g} bytes, more than the file of {size} bytes holds; it is damaged or was cut off, "
            "fetch or write it again"
        )
    return dataset


def _require_filters(dataset, where):
    properties, missing = dataset.id.get_create_plist(), []
    for number in range(properties.get_nfilters()):
        code, *_, name = properties.get_filter(number)
        skipped = dataset.id.get_chunk_info(0).filter_mask >> number & 1
        if not skipped and not _is_available(code):
            missing.append((code, name))
    if missing:
        code, name = missing[0]
        known = (PLUGIN_FILTERS | OTHER_FILTERS).get(code) or os.fsdecode(name)
        remedy = (
            "install it with \"pip install hdf5plugin\" ('keras-gw-resnet[filters]')"
            if code in PLUGIN_FILTERS
            else "write the file again with gzip (h5repack -f GZIP=4)"
        )
        raise UnreadableError(
            f"{where} is compressed with {known} (HDF5 filter {code}), which is not installed; {remedy}"
        )


def _is_available(code):
    if h5py.h5z.filter_avail(code):
        return True
    with contextlib.suppress(ImportError):
        import hdf5plugin  # noqa: F401  registers its filters
    return h5py.h5z.filter_avail(code)


def read(
    group: h5py.Group,
    path: str,
    *,
    shape: Sequence[int] | None = None,
    dimensions: int | None = None,
    kinds: str = "fiu",
    most: int = 1 << 27,
) -> np.ndarray:
    """Read a dataset whole, after looking at its shape and type.

    Args:
        group: h5py.Group.
        path: Of the dataset below it.
        shape: What its shape has to be; None: any.
        dimensions: How many it has to have; None: any number.
        kinds: NumPy kinds that its type may have.
        most: Bytes that it may have however small the file is.

    Returns:
        NumPy array.

    Raises:
        KeyError, TypeError: There is no such dataset, or it is another one; `open_hdf5` makes an InputError of it.
        InputError: It cannot be read, see `require_held`.
    """
    dataset = find(group, path)
    if not isinstance(dataset, h5py.Dataset):
        raise KeyError(f"{shown(path)} is not there")
    other = (shape is not None and dataset.shape != tuple(shape)) or dimensions not in (None, dataset.ndim)
    if other or dataset.dtype.kind not in kinds:
        raise TypeError(f"{shown(path)} has shape {dataset.shape}, type {dataset.dtype}")
    return np.asarray(require_held(dataset, most)[()])


def attribute(entry: h5py.HLObject, name: str, default: Any = None) -> Any:
    """Return an attribute, `default` where there is none; one of more than `MOST_ATTRIBUTE` values is refused."""
    if name not in entry.attrs:
        return default
    if math.prod(entry.attrs.get_id(name).shape or ()) > MOST_ATTRIBUTE:
        raise InputError(f"{entry.file.filename}: the attribute {name} has more than {MOST_ATTRIBUTE} values")
    return entry.attrs[name]


def text(value: Any, longest: int = 1000) -> str:
    """Return the first value of an attribute or of a dataset as text."""
    if isinstance(value, h5py.Dataset):
        if math.prod(value.shape or ()) > MOST_ATTRIBUTE:
            raise InputError(f"{value.file.filename}: {shown(value.name)} is no text")
        value = require_held(value, 1 << 20)[()]
    value = np.ravel(value)[0]
    return (value.decode(errors="replace") if isinstance(value, bytes) else str(value))[:longest]
