"""The strain that ships with the project: GW150914, 32 s of H1 and L1 (GWOSC)."""

from collections.abc import Sequence
from pathlib import Path

SHIPPED = {"GW150914": Path(__file__).parents[1] / "data" / "gw150914"}
# GPS time of the coalescence.
GW150914 = 1126259462.42


def shipped_files(name: str) -> list[Path]:
    """Return the files of an event that ships with the project, in order of detectors."""
    return sorted(SHIPPED[name].glob("*.hdf5"))


def with_shipped(strain: Sequence) -> list:
    """Replace names of events that ship with the project by their files, unless a file of that name is there.

    Args:
        strain: List of files, folders, patterns or names; strain in memory stays.
    """
    found = []
    for one in strain:
        known = isinstance(one, str | Path) and str(one) in SHIPPED and not Path(one).exists()
        found += shipped_files(str(one)) if known else [one]
    return found
