"""Read small input files, with bounds: text, JSON, YAML."""

import bz2
import codecs
import gzip
import itertools
import json
import lzma
import re
import stat
from pathlib import Path
from typing import Any

from keras_gw_resnet.errors import MALFORMED, InputError, UnreadableError, first_line

LARGEST_TEXT, LARGEST_YAML = 1 << 24, 1 << 20
DEEPEST = 64
_OPENERS = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}


def require_file(path: Path | str, expected: str) -> Path:
    """Return the `pathlib.Path` of a regular file.

    Raises:
        InputError: There is none; it is a folder, a device or a pipe.
    """
    path = Path(path)
    try:
        mode = path.stat().st_mode
    except FileNotFoundError as error:
        linked = f"a link to {path.readlink()}, which is not there" if path.is_symlink() else "no such file"
        raise InputError(f"{path}: {linked}; expected {expected}, check the path") from error
    except PermissionError as error:
        raise UnreadableError(f"{path}: cannot be read ({error.strerror}); expected {expected}") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({first_line(error)}); expected {expected}") from error
    if not stat.S_ISREG(mode):
        what = "a folder" if stat.S_ISDIR(mode) else "no regular file"
        raise InputError(f"{path}: is {what}; expected {expected}")
    return path


def read_text(path: Path | str, expected: str, *, packed: bool = False, largest: int = LARGEST_TEXT) -> str:
    """Read a text file in UTF-8, with or without a byte-order mark.

    Args:
        path: File.
        expected: What it should hold, for messages.
        packed: Whether .gz, .bz2 and .xz are unpacked.
        largest: Bytes that it may have, unpacked.

    Raises:
        InputError: There is no such file, it is too large, in another encoding, or cut off.
    """
    path = require_file(path, expected)
    opened = _OPENERS.get(path.suffix, Path.open) if packed else Path.open
    try:
        with opened(path, "rb") as file:
            data = file.read(largest + 1)
    except PermissionError as error:
        raise UnreadableError(f"{path}: cannot be read ({error.strerror}); expected {expected}") from error
    except (*MALFORMED, lzma.LZMAError) as error:
        raise InputError(f"{path}: cannot be read ({first_line(error)}); expected {expected}") from error
    if len(data) > largest:
        raise InputError(f"{path}: has more than {largest / 1e6:.0f} MB; expected {expected}")
    try:
        return data.removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is no text in UTF-8; expected {expected}") from error


def read_json(path: Path | str, expected: str) -> Any:
    """Read a JSON file; see `parse_json`."""
    return parse_json(read_text(path, expected), path, expected)


def parse_json(text: str | bytes, path: Path | str, expected: str) -> Any:
    """Parse JSON.

    Args:
        text: The JSON, str or bytes.
        path: Where it is from, for messages.
        expected: What it should be, for messages.

    Raises:
        InputError: It is no JSON, or nested more than `DEEPEST` deep.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is no JSON ({first_line(error)}); expected {expected}") from error
    if _deeper(value, DEEPEST):
        raise InputError(f"{path}: is nested more than {DEEPEST} deep; expected {expected}")
    return value


def _deeper(value, depth):
    level = [value]
    for _ in range(depth):
        level = [
            v for one in level if isinstance(one, dict | list) for v in (one.values() if isinstance(one, dict) else one)
        ]
    return bool(level)


def read_yaml(path: Path | str, expected: str, *, otherwise: str = "is no YAML") -> Any:
    """Read a YAML file of plain values, without aliases: a few of them can stand for more values than memory holds.

    Raises:
        InputError: There is no such file, it is too large, in another encoding, no YAML, or has aliases.
    """
    import yaml

    text, loader = read_text(path, expected, largest=LARGEST_YAML), getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    depths = itertools.accumulate(1 if bracket in "[{" else -1 for bracket in re.findall(r"[][{}]", text))
    if max(depths, default=0) > DEEPEST:
        raise InputError(f"{path}: {otherwise} (nested more than {DEEPEST} deep); expected {expected}")
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, loader)):
            raise InputError(f"{path}: has YAML aliases (*name); write the values out")
        return yaml.load(text, loader)
    except InputError:
        raise
    except (yaml.YAMLError, *MALFORMED) as error:
        raise InputError(f"{path}: {otherwise} ({first_line(error)}); expected {expected}") from error
