"""Starting Keras and its backend, and how networks are compiled."""

import contextlib
import logging
import os
import sys
import tempfile

from keras_gw_resnet.errors import InputError


@contextlib.contextmanager
def quiet_stderr():
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


def load_keras(prepare=None, *, training=False):
    """Import Keras and its backend without the backend's start-up messages on stderr.

    Args:
        prepare: Called before the backend starts its devices.
        training: Whether gradients will be computed.

    Returns:
        What `prepare` returned.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    if not training:
        # On processors where TensorFlow leaves oneDNN off, it doubles the rate of matrix products all the same. Not in
        # training: the gradient of a strided 1x1 convolution of four channels corrupts memory there (2.21, AVX2).
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    try:
        with quiet_stderr():
            import keras

            prepared = prepare() if prepare else None
            keras.ops.zeros(1)  # starts the devices
    except ImportError as error:
        backend = os.environ.get("KERAS_BACKEND", "tensorflow")
        raise InputError(f"KERAS_BACKEND={backend}: {error.name or error} cannot be imported; install it") from error
    return prepared


def jit_compile():
    """Return the `jit_compile` to give to `keras.Model.compile`.

    Under TensorFlow XLA makes convolution stacks slower on CPU, and may not be forced under MirroredStrategy.
    """
    import keras

    return False if keras.backend.backend() == "tensorflow" else "auto"
