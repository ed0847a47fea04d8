"""What a search has found so far, chunk by chunk, so that an interrupted one goes on where it stopped."""

import contextlib
import hashlib
import json
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_gw_resnet.errors import MALFORMED, InputError
from keras_gw_resnet.files import written_aside
from keras_gw_resnet.inputs import read_text
from keras_gw_resnet.search.results import Found

IDENTITY, DIGEST = "search.json", "sha256"


class Journal:
    """A folder with one file a finished chunk of strain.

    Args:
        folder: Where to keep it; None: nowhere.
        identity: Dictionary of all that the results depend on; a folder of another search is emptied.
    """

    def __init__(self, folder: Path | None, identity: dict) -> None:
        self._folder = Path(folder) if folder else None
        self._identity = json.dumps(identity, sort_keys=True)
        if self._folder is not None and (self._folder.is_symlink() or self._folder.is_file()):
            raise InputError(f"{self._folder}: is a link or a file, not the folder of an unfinished search; remove it")
        if self._folder is not None and not self._is_of_this_search():
            forget(self._folder)

    def _is_of_this_search(self):
        note = self._folder / IDENTITY
        if note.is_symlink() or not note.exists():
            return False
        with contextlib.suppress(InputError):
            return read_text(note, "the identity of a search") == self._identity
        return False

    def finished(self) -> dict:
        """Return what was found in each finished chunk, a dictionary GPS start -> list of Found, one a network."""
        if self._folder is None:
            return {}
        chunks = {}
        for path in sorted(self._folder.glob("chunk-*.npz")):
            if path.is_dir() and not path.is_symlink():
                raise InputError(f"{path}: is a folder, not a part of an unfinished search; remove it")
            try:
                if path.is_symlink() or not path.is_file():
                    raise ValueError("a link or a pipe")
                each, gps_start = self._read(path)
                chunks[gps_start] = each
            except MALFORMED:
                path.unlink()  # damaged when the machine stopped, or of another search: that chunk is searched again
        return chunks

    def _read(self, path):
        """Return (list of Found, GPS start) of a finished chunk.

        Raises:
            Exception: One of `MALFORMED`, where the file is damaged or of another search.
        """
        with zipfile.ZipFile(path) as archive:
            if (
                sum(member.file_size for member in archive.infolist()) > 2 * path.stat().st_size
            ):  # they are not compressed
                raise ValueError("declares more than it holds")
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        if str(arrays.pop(DIGEST)) != self._digest(arrays):
            raise ValueError("not what was written")
        each = [Found.from_arrays(arrays, f"{i}/") for i in range(int(arrays["networks"]))]
        return each, float(arrays["gps_start"])

    def _digest(self, arrays):
        """Return the sha256 of what a chunk of this search holds."""
        sha256 = hashlib.sha256(self._identity.encode())
        for name in sorted(arrays):
            array = np.ascontiguousarray(arrays[name])
            sha256.update(f"{name} {array.dtype.str} {array.shape}".encode() + array.tobytes())
        return sha256.hexdigest()

    def add(self, gps_start: float, found: Sequence) -> None:
        """Keep what the networks found in a chunk, a list of Found."""
        if self._folder is None:
            return
        if not self._folder.exists():
            with written_aside(self._folder) as aside:
                aside.mkdir()
                (aside / IDENTITY).write_text(self._identity)
        arrays = {"networks": len(found), "gps_start": gps_start}
        for number, one in enumerate(found):
            arrays |= {f"{number}/{name}": value for name, value in one.to_arrays().items()}
        arrays |= {DIGEST: self._digest(arrays)}
        name = hashlib.sha256(repr(float(gps_start)).encode()).hexdigest()[:16]
        with written_aside(self._folder / f"chunk-{name}.npz") as aside:
            np.savez(aside, **arrays)  # ty: ignore[invalid-argument-type]


def journal_of(output: Path, part: str = "") -> Path:
    """Return the folder that remembers an unfinished search, beside its output; to be forgotten when all is written."""
    return output.with_name(f".{output.name}.{part}unfinished")


def forget(folder: Path | None) -> None:
    """Remove the journal of a search that is done, where there is one."""
    if folder is not None and not Path(folder).is_symlink():
        shutil.rmtree(folder, ignore_errors=True)
