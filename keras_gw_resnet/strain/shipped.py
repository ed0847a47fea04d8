"""The strain that ships with the project: GW150914, 32 s of H1 and L1 (GWOSC)."""

from collections.abc import Sequence
from pathlib import Path

SHIPPED = {"GW150914": Path(__file__).parents[1] / "data" / "gw150914"}
# GPS time of the coalescence.
GW150914 = 1126259462.42


def shipped_files(name: str) -> list[Path]:
    """Return the files of an event that ships with the project, in order of detectors."""
    return sorted(SHIPPED[name].glob("*.hdf5"))


def with_shipped(paths: Path | str | Sequence[Path | str]) -> list:
    """Replace names of events that ship with the project by their files, unless a file of that name is there.

    Args:
        paths: Files, folders, patterns or names, one or a list.
    """
    given = [paths] if isinstance(paths, str | Path) else list(paths)
    found = []
    for path in given:
        known = str(path) in SHIPPED and not Path(path).exists()
        found += shipped_files(str(path)) if known else [path]
    return found
