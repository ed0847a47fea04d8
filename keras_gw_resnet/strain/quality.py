"""Data-quality flags of GWOSC files, read by short name, and vetoes.

Bit numbers moved between observing runs, short names did not (gwosc.org, "Data quality and injections").
"""

import io
import warnings
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

from keras_gw_resnet.errors import InputError
from keras_gw_resnet.hdf5 import find, read, require_held, text
from keras_gw_resnet.inputs import read_text

# Beyond this no unit of strain makes sense.
LARGEST_STRAIN = 1e10
# A detector that repeats one value for longer than this was not running, whatever its flags say.
DEAD_SECONDS = 0.125


def flagged(mask: np.ndarray, short_names: Sequence[bytes | str], name: str) -> np.ndarray | None:
    """Say for every entry of a bit mask whether the flag with this short name is set.

    Args:
        mask: Integer array (n,), one entry a second in GWOSC files.
        short_names: Names of the bits, lowest bit first, as text or bytes.
        name: The flag, for example "DATA" or "CBC_CAT1".

    Returns:
        Boolean array (n,), or None where the file does not know the flag.
    """
    names = [n.decode() if isinstance(n, bytes) else str(n) for n in short_names]
    if name not in names:
        return None
    return (np.asarray(mask) >> names.index(name)) & 1 == 1


def fulfilled(bit_masks: Sequence, name: str) -> np.ndarray | None:
    """Say for every second whether it fulfils a data-quality or injection flag.

    A set bit is good ("DATA", "CBC_CAT1", "NO_CBC_HW_INJ"), except for the injection flags of S5, where it says that
    there is an injection: NO_CBC_HW_INJ is then fulfilled where HW_CBC is not set.

    Args:
        bit_masks: List of (mask, short names), as for `flagged`.
        name: The flag.

    Returns:
        Boolean array (n,), or None where the file does not know the flag.
    """
    injection = f"HW_{name.removeprefix('NO_').removesuffix('_HW_INJ')}"
    for mask, short_names in bit_masks:
        found, opposite = flagged(mask, short_names, name), flagged(mask, short_names, injection)
        if found is not None:
            return found
        if opposite is not None and name.startswith("NO_"):
            return ~opposite
    return None


# Where GWOSC files keep their flags: the bit mask, one entry a second, and the short names of its bits.
QUALITY_DATASETS = (
    ("quality/simple/DQmask", "quality/simple/DQShortnames"),
    ("quality/injections/Injmask", "quality/injections/InjShortnames"),
)


def read_bit_masks(path: Path | str, file: h5py.File, seconds: int) -> list[tuple]:
    """Read the flags of a GWOSC file that holds so many seconds.

    Returns:
        List of (mask, short names of its bits as text), as for `flagged`.

    Raises:
        InputError: They are no flags of so many seconds.
    """
    bit_masks = []
    for mask_name, names_name in QUALITY_DATASETS:
        mask, names = find(file, mask_name), find(file, names_name)
        if mask is None or names is None:
            continue
        if not isinstance(mask, h5py.Dataset) or mask.dtype.kind not in "iu" or mask.shape != (seconds,):
            what = f"shape {getattr(mask, 'shape', '')}, type {getattr(mask, 'dtype', 'group')}"
            raise InputError(f"{path}: {mask_name} has {what}; expected {seconds} integers, one a second of strain")
        if not isinstance(names, h5py.Dataset) or names.ndim != 1 or len(names) > 8 * mask.dtype.itemsize:
            raise InputError(f"{path}: {names_name} is no list of names, one a bit")
        short_names = [text(name) for name in read(file, names_name, kinds="SUO", most=1 << 20)]
        bit_masks.append((require_held(mask)[()], short_names))
    return bit_masks


def present_seconds(path: Path | str, bit_masks: Sequence, quality: Sequence[str]) -> tuple | None:
    """Say for each second whether strain is there and fulfils all the wanted flags; None where all seconds do.

    Raises:
        InputError: The file does not have a flag.
    """
    conditions = [fulfilled(bit_masks, "DATA"), *(_required(path, bit_masks, name) for name in quality)]
    present = np.all([c for c in conditions if c is not None], axis=0)
    return None if present.all() else tuple(present.tolist())


def _required(path, bit_masks, name):
    condition = fulfilled(bit_masks, name)
    if condition is None:
        known = ", ".join(name for _, names in bit_masks for name in names) or "no flags"
        raise InputError(f"{path}: has no data-quality flag {name}; it has {known}")
    return condition


# Hardware injections that last as long as an event; continuous waves and stochastic backgrounds were injected for months.
SHORT_INJECTIONS = ("CBC", "BURST", "DETCHAR")
CATEGORIES = tuple(f"{search}_CAT{number}" for search in ("CBC", "BURST") for number in (1, 2, 3))


def remarkable(bit_masks: Sequence, gps_start: float) -> tuple:
    """List the times with a hardware injection that an event could be, and those that fail a data-quality category.

    Args:
        bit_masks: List of (mask, short names), one entry a second, as for `flagged`.
        gps_start: GPS time of their first second.

    Returns:
        Tuple of (GPS start, GPS stop, what), such as "CBC hardware injection" or "fails CBC_CAT2".
    """
    wanted = {f"NO_{kind}_HW_INJ": f"{kind} hardware injection" for kind in SHORT_INJECTIONS}
    wanted |= {name: f"fails {name}" for name in CATEGORIES}
    found = []
    for name, what in wanted.items():
        good = fulfilled(bit_masks, name)
        runs = valid_runs(~good) if good is not None else []
        found += [(gps_start + first, gps_start + last, what) for first, last in runs]
    return tuple(found)


def count_flags(bit_masks: Sequence) -> tuple:
    """Count the seconds for which each flag is set.

    Args:
        bit_masks: List of (mask, short names), as for `flagged`.

    Returns:
        Tuple of (short name, seconds set, seconds in all), in the order of the file.
    """
    return tuple(
        (name, int(np.count_nonzero(flagged(mask, short_names, name))), len(mask))  # ty: ignore[no-matching-overload]
        for mask, short_names in bit_masks
        for name in short_names
    )


def meaning(name: str) -> str:
    """Say what a second with this flag set is: the injection flags of S5, HW_..., say that there is an injection."""
    return "has an injection" if name.startswith("HW_") else "is good"


def valid_runs(valid: Sequence[bool] | np.ndarray) -> list[tuple[int, int]]:
    """Return the half-open index ranges [(start, stop), ...] over which a boolean array is true."""
    if np.all(valid):
        return [(0, len(valid))] if len(valid) else []
    edges = np.flatnonzero(np.diff(np.concatenate(([0], np.asarray(valid, np.int8), [0]))))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def valid_samples(strain: np.ndarray, sample_rate: float) -> np.ndarray:
    """Say which samples may be strain: finite, of a size that strain can have, and not stuck at one value.

    Args:
        strain: float64 array (samples,).
        sample_rate: Samples per second.

    Returns:
        Boolean array (samples,), false where the strain repeats one value for longer than `DEAD_SECONDS`.
    """
    valid = np.abs(strain) < LARGEST_STRAIN
    with np.errstate(invalid="ignore"):
        repeated = np.diff(strain) == 0
    for first, last in valid_runs(repeated):
        if last - first >= DEAD_SECONDS * sample_rate:
            valid[first : last + 1] = False
    return valid


def read_vetoes(paths: Sequence[Path | str]) -> np.ndarray:
    """Read vetoes: text with the GPS seconds of a start and a stop a line, or four columns as of segwizard.

    Args:
        paths: Text files; lines that begin with # are comments.

    Returns:
        float64 array (n, 2) in order of time.

    Raises:
        InputError: A file is missing or holds something else.
    """
    found = [np.empty((0, 2))]
    for path in paths:
        given = read_text(path, "vetoes, a GPS start and stop a line", packed=True)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # of a file without vetoes
                rows = np.loadtxt(io.StringIO(given), ndmin=2)
        except (ValueError, OverflowError) as error:
            raise InputError(f"{path}: cannot be read as vetoes; expected a GPS start and stop a line") from error
        if not rows.size:
            continue
        rows = rows[:, 1:3] if rows.shape[1] == 4 else rows
        if rows.shape[1] != 2:
            raise InputError(f"{path}: expected a GPS start and a later stop a line, found {rows.shape[1]} columns")
        wrong = ~(rows[:, 0] < rows[:, 1])
        if np.any(wrong):
            start, stop = rows[wrong][0]
            raise InputError(f"{path}: expected a GPS start and a later stop a line, found {start:.16g} {stop:.16g}")
        found.append(rows)
    every = np.concatenate(found)
    return every[np.argsort(every[:, 0], kind="stable")]


def inside(times: Sequence[float] | np.ndarray, intervals: Sequence | np.ndarray) -> np.ndarray:
    """Say which times lie in one of some intervals.

    Args:
        times: Array of GPS seconds, of any shape.
        intervals: Array (n, 2) of starts and stops.

    Returns:
        Boolean array of the shape of `times`; an interval holds its start and not its stop.
    """
    times = np.asarray(times, np.float64)
    hit = np.zeros(times.shape, bool)
    for start, stop in intervals:
        hit |= (times >= start) & (times < stop)
    return hit
