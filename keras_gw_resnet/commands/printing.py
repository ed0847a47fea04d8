"""How commands show paths and tables."""

import math
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from keras_gw_resnet.errors import InputError


def shown(path: Path | str) -> Path:
    """Return a path as short as it can be typed here."""
    path = Path(path)
    return path.relative_to(Path.cwd()) if path.is_absolute() and path.is_relative_to(Path.cwd()) else path


def _is_number(text):
    try:
        return text == "-" or all(math.isfinite(float(part)) for part in text.split("+-"))
    except ValueError:
        return False


def table(rows: Iterable, header: Sequence[str]) -> str:
    """Return rows of text as aligned columns, columns of numbers to the right."""
    rows = [[str(cell) for cell in row] for row in rows]
    columns = []
    for title, *cells in zip(header, *rows, strict=True):
        width = max(len(text) for text in (title, *cells))
        align = str.rjust if cells and all(_is_number(cell) for cell in cells) else str.ljust
        columns.append([align(text, width) for text in (title, *cells)])
    return "\n".join("  ".join(line).rstrip() for line in zip(*columns, strict=True))


def require_writable(path: Path, option: str) -> None:
    """Make a folder, or raise InputError where nothing can be written into it."""
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path).close()
    except OSError as error:
        raise InputError(f"{path}: cannot write there ({error.strerror}); choose another {option}") from error
