"""Worker processes for waveforms."""

import contextlib
import sys
import types
from collections.abc import Generator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

from keras_gw_resnet.backend import cores
from keras_gw_resnet.errors import InputError


@contextlib.contextmanager
def worker_pool(processes: int | None = None) -> Generator[ProcessPoolExecutor]:
    """Start worker processes that run nothing of the script that asked for them, whether or not it says `if __name__ == "__main__"`.

    Args:
        processes: How many; None: one a core.

    Yields:
        ProcessPoolExecutor; what is submitted has to belong to the package.

    Raises:
        InputError: A worker was ended from outside.
    """
    script = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")  # a spawned process runs the file of this module first
    try:
        with ProcessPoolExecutor(processes or cores(), get_context("spawn")) as pool:
            yield pool
    except BrokenProcessPool as error:
        raise InputError("a worker process was ended from outside, perhaps for want of memory; start again") from error
    finally:
        sys.modules["__main__"] = script
