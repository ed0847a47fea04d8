"""Data-quality bits of GWOSC files, read by short name.

Bit numbers moved between observing runs, short names did not (gwosc.org, "Data quality and injections").
"""

import numpy as np


def flagged(mask, short_names, name):
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


def fulfilled(bit_masks, name):
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


def count_flags(bit_masks):
    """Count the seconds for which each flag is set.

    Args:
        bit_masks: List of (mask, short names), as for `flagged`.

    Returns:
        Tuple of (short name, seconds set, seconds in all), in the order of the file.
    """
    return tuple(
        (name, int(np.count_nonzero(flagged(mask, short_names, name))), len(mask))
        for mask, short_names in bit_masks
        for name in short_names
    )


def meaning(name):
    """Say what a second with this flag set is: the injection flags of S5, HW_..., say that there is an injection."""
    return "has an injection" if name.startswith("HW_") else "is good"


def valid_runs(valid):
    """Return the half-open index ranges [(start, stop), ...] over which a boolean array is true."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], np.asarray(valid, np.int8), [0]))))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
