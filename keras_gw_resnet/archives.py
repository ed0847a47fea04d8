"""Check .keras archives and cards before anything of them is built: what they declare is bounded by what they hold."""

import hashlib
import io
import math
import re
import zipfile
from pathlib import Path

import h5py

from keras_gw_resnet.errors import MALFORMED, InputError, first_line, shortened
from keras_gw_resnet.hdf5 import datasets, require_held
from keras_gw_resnet.inputs import parse_json, require_file

# Members of an archive, what they may unpack to beside the archive's own size, and the largest JSON among them.
MOST_MEMBERS, LARGEST_UNPACKED, LARGEST_RATIO, LARGEST_JSON = 1000, 1 << 27, 20, 1 << 25
LARGEST_FILE = 1 << 31
# Whole numbers in a configuration.
LARGEST_NUMBER = 1 << 24
# What of a layer's configuration is a length of one of its weights.
LENGTHS = ("filters", "units", "kernel_size")
EXPECTED = "a network as Keras saves it"
# A saved network, and its weights within the first file.
NETWORK_FILES = ("model.keras", "card.json")
WEIGHTS_MEMBER = "model.weights.h5"


def sha256_of(path: Path | str) -> str:
    """Return the sha256 of a file that is no larger than a network can be."""
    path = require_file(path, EXPECTED)
    if path.stat().st_size > LARGEST_FILE:
        raise InputError(f"{path}: has {path.stat().st_size:.3g} bytes; expected {EXPECTED}")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_archive(path: Path | str) -> None:
    """Check a .keras file: its members, their sizes and checksums, its configuration and its weights.

    Raises:
        InputError: The file is missing, damaged, or declares more than it holds.
    """
    path = require_file(path, EXPECTED)
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(path, archive)
            if bad := archive.testzip():
                raise InputError(f"{path}: {shortened(bad, 60)} in it is damaged; train or fetch it again")
            config = parse_json(archive.read("config.json"), path, EXPECTED)
            _check_config(path, config, _weight_shapes(path, archive))
    except InputError:
        raise
    except (NotImplementedError, *MALFORMED) as error:
        raise InputError(
            f"{path}: Keras cannot load it, it is damaged ({first_line(error)}); train or fetch it again"
        ) from error


def _check_members(path, archive):
    members, size = archive.infolist(), path.stat().st_size
    names = [member.filename for member in members]
    if len(names) > MOST_MEMBERS or len(set(names)) < len(names) or "config.json" not in names:
        raise InputError(f"{path}: holds {len(names)} parts, some twice or not those of a network; expected {EXPECTED}")
    odd = [n for n in names if n.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", n) or ":" in n or "\0" in n]
    if odd:
        raise InputError(f"{path}: has a part called {shortened(odd[0], 60)!r}, outside of it; train or fetch it again")
    if sum(member.file_size for member in members) > max(LARGEST_UNPACKED, LARGEST_RATIO * size):
        unpacked = sum(member.file_size for member in members)
        raise InputError(f"{path}: declares {unpacked:.3g} bytes in {size}; it is damaged, train or fetch it again")
    large = [m.filename for m in members if m.filename.endswith(".json") and m.file_size > LARGEST_JSON]
    if large:
        raise InputError(
            f"{path}: {shortened(large[0], 60)} has more than {LARGEST_JSON / 1e6:.0f} MB; train or fetch it again"
        )


def _weight_shapes(path, archive):
    """Return the shapes of the weights in an archive; none of them may come from elsewhere or be declared only."""
    name = WEIGHTS_MEMBER
    if name not in archive.namelist():
        raise InputError(f"{path}: lacks {name}; train or fetch it again")
    with h5py.File(io.BytesIO(archive.read(name)), "r") as file:
        try:
            return [require_held(dataset).shape for _, dataset in datasets(file, links=False)]
        except InputError as error:
            raise InputError(str(error).replace(file.filename, f"{path}: {name}")) from error


def _check_config(path, config, shapes):
    """Check that the layers of a configuration are as large as the weights that belong to them."""
    if not isinstance(config, dict):
        raise InputError(f"{path}: config.json is no configuration; expected {EXPECTED}")
    lengths = {length for shape in shapes for length in shape} | {1}
    values, waiting = sum(math.prod(shape) for shape in shapes), [("", config)]
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, dict):
            waiting += value.items()
            asked = [n for key in LENGTHS for n in _numbers(value.get(key))]
            if any(n > values or n not in lengths for n in asked):
                raise InputError(
                    f"{path}: a layer asks for {shortened(repr([value.get(k) for k in LENGTHS if k in value]), 60)} ({', '.join(LENGTHS)}), "
                    "which its weights have not; train or fetch it again"
                )
        elif isinstance(value, list):
            waiting += [(name, one) for one in value]
        elif not _is_moderate(value) and not re.search(r"seed|_id$", str(name)):
            raise InputError(
                f"{path}: its configuration has {shortened(str(name), 40)} = {value:.3g}; train or fetch it again"
            )


def _is_moderate(value):
    if isinstance(value, float):
        return math.isfinite(value)
    return not isinstance(value, int) or abs(value) <= LARGEST_NUMBER


def _numbers(value):
    return [
        n for n in (value if isinstance(value, list) else [value]) if isinstance(n, int) and not isinstance(n, bool)
    ]
