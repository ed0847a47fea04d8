"""Starting Keras and its backend, how networks are compiled, and how many cores there are for it all."""

import contextlib
import importlib
import json
import logging
import os
import sys
import tempfile
import types
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

from keras_gw_resnet.errors import InputError, first_line


class Later(types.ModuleType):
    """A module that is imported when something in it is asked for: Keras takes seconds, which a scan in NumPy does without."""

    def __getattr__(self, name):
        return getattr(importlib.import_module(self.__name__), name)


@contextlib.contextmanager
def quiet_stderr() -> Generator[None]:
    """Keep what native libraries print while they load off stderr; show it when loading fails."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as sink:
        os.dup2(sink.fileno(), 2)
        try:
            yield
        except InputError:
            raise
        except BaseException:
            os.dup2(kept, 2)
            sink.seek(0)
            sys.stderr.write(sink.read().decode(errors="replace"))
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def load_keras(prepare: Callable | None = None) -> Any:
    """Import Keras and its backend without the backend's start-up messages on stderr.

    Args:
        prepare: Called before the backend starts its devices.

    Returns:
        What `prepare` returned.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    # On processors where TensorFlow leaves oneDNN off, networks are trained and scanned faster with it all the same.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    try:
        with quiet_stderr():
            try:
                import keras
            except Exception as error:  # whatever Keras and its backend make of these settings
                raise _refused(error) from error
            # Configuration of other projects; the networks here are made for these.
            keras.config.set_image_data_format("channels_last")
            keras.config.set_floatx("float32")
            prepared = prepare() if prepare else None
            keras.ops.zeros(1)  # starts the devices
    except ImportError as error:
        raise _refused(error) from error
    return prepared


def configuration_file() -> Path:
    """Return where Keras looks for its configuration, as Keras itself does: $KERAS_HOME, or .keras at home or below /tmp."""
    home = Path("~").expanduser()
    base = os.environ.get("KERAS_HOME") or (home if os.access(home, os.W_OK) else Path("/tmp")) / ".keras"
    return Path(base).expanduser() / "keras.json"


def _refused(error):
    """Return the InputError that says where the setting comes from with which Keras does not start."""
    backend, path = os.environ.get("KERAS_BACKEND"), configuration_file()
    if path.exists() and not isinstance(error, ImportError) and "backend" not in str(error):
        where, remedy = str(path), "correct or remove that file"
    elif backend:
        where, remedy = f"KERAS_BACKEND={backend}", "set it to tensorflow"
    elif path.exists():
        where = f'{path}: "backend": "{_backend_in(path)}"'
        remedy = "correct or remove that file, or set KERAS_BACKEND=tensorflow"
    else:
        where, remedy = "the backend of Keras", "set KERAS_BACKEND to one that is installed"
    if isinstance(error, ImportError):
        return InputError(f"{where}: {error.name or error} cannot be imported; install it, or {remedy}")
    return InputError(f"{where}: Keras does not start ({first_line(error)}); {remedy}")


def _backend_in(path):
    try:
        return json.loads(path.read_text())["backend"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


@contextlib.contextmanager
def channels_last() -> Generator[None]:
    """Let layers that are built meanwhile have their channels last, whatever the user's configuration of Keras says."""
    import keras

    before = keras.config.image_data_format()
    keras.config.set_image_data_format("channels_last")
    try:
        yield
    finally:
        keras.config.set_image_data_format(before)


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def jit_compile() -> bool | str:
    """Return the `jit_compile` to give to `keras.Model.compile`.

    Under TensorFlow XLA makes convolution stacks slower on CPU, and may not be forced under MirroredStrategy.
    """
    import keras

    return False if keras.backend.backend() == "tensorflow" else "auto"
