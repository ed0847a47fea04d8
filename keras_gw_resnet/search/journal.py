"""What a search has found so far, chunk by chunk, so that an interrupted one goes on where it stopped."""

import hashlib
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np

from keras_gw_resnet.files import written_aside
from keras_gw_resnet.search.results import Found

IDENTITY = "search.json"


class Journal:
    """A folder with one file a finished chunk of strain.

    Args:
        folder: Where to keep it; None: nowhere.
        identity: Dictionary of all that the results depend on; a folder of another search is emptied.
    """

    def __init__(self, folder, identity):
        self._folder = Path(folder) if folder else None
        self._identity = json.dumps(identity, sort_keys=True)
        if self._folder is not None and not self._is_of_this_search():
            forget(self._folder)

    def _is_of_this_search(self):
        note = self._folder / IDENTITY
        return note.exists() and note.read_text() == self._identity

    def finished(self):
        """Return what was found in each finished chunk, a dictionary GPS start -> list of Found, one a network."""
        if self._folder is None:
            return {}
        chunks = {}
        for path in sorted(self._folder.glob("chunk-*.npz")):
            try:
                with np.load(path, allow_pickle=False) as arrays:
                    each = [Found.from_arrays(arrays, f"{i}/") for i in range(int(arrays["networks"]))]
                    chunks[float(arrays["gps_start"])] = each
            except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
                path.unlink()  # damaged when the machine stopped: that chunk is searched again
        return chunks

    def add(self, gps_start, found):
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
        name = hashlib.sha256(repr(float(gps_start)).encode()).hexdigest()[:16]
        with written_aside(self._folder / f"chunk-{name}.npz") as aside:
            np.savez(aside, **arrays)


def journal_of(output, part=""):
    """Return the folder that remembers an unfinished search, beside its output; to be forgotten when all is written."""
    return output.with_name(f".{output.name}.{part}unfinished")


def forget(folder):
    """Remove the journal of a search that is done, where there is one."""
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
