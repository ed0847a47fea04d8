"""Write files whole or not at all."""

import contextlib
import shutil
import tempfile
from pathlib import Path

from keras_gw_resnet.errors import InputError


@contextlib.contextmanager
def written_aside(path):
    """Give a temporary path beside `path`, and rename it to `path` when the block ends well.

    Works for a file or a folder that the block creates. When the block fails, what it wrote is removed and
    whatever stood at `path` before is untouched.

    Yields:
        A `pathlib.Path` in the same folder with the same suffix.

    Raises:
        InputError: The folder cannot be written to.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        holder = Path(tempfile.mkdtemp(prefix=".partial-", dir=path.parent))
    except OSError as error:
        raise InputError(f"{path}: cannot write there ({error.strerror}); choose another output path") from error
    try:
        aside = holder / path.name
        yield aside
        if path.is_dir() and aside.is_dir():
            shutil.rmtree(path)
        aside.replace(path)
    finally:
        shutil.rmtree(holder, ignore_errors=True)


def refuse_existing(path, overwrite=False):
    """Raise InputError when `path` exists, unless `overwrite` is true."""
    if Path(path).exists() and not overwrite:
        raise InputError(f"{path}: exists already; choose another output path or add --overwrite")
