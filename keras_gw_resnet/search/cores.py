"""Work on all cores with NumPy: pieces of work in threads, each product of matrices in the thread that asks for it."""

from __future__ import annotations

import contextlib
import ctypes
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from keras_gw_resnet.backend import cores

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

# Of the library that NumPy's wheels multiply matrices with, and of those of distributions.
NAMES = (
    "scipy_openblas_{}_num_threads64_",
    "scipy_openblas_{}_num_threads",
    "openblas_{}_num_threads64_",
    "openblas_{}_num_threads",
)


@contextlib.contextmanager
def single_threaded_products() -> Generator[None]:
    """Let OpenBLAS, where NumPy has it, use one thread a product while the block runs."""
    with contextlib.ExitStack() as stack:
        for library in _loaded_openblas():
            for name in NAMES:
                if hasattr(library, name.format("set")):
                    change, before = getattr(library, name.format("set")), getattr(library, name.format("get"))()
                    change(1)
                    stack.callback(change, before)
                    break
        yield


def _loaded_openblas():
    maps = Path("/proc/self/maps")
    lines = maps.read_text().splitlines() if maps.exists() else []
    paths = {line.split(maxsplit=5)[-1] for line in lines if "openblas" in line}
    return [ctypes.CDLL(path) for path in sorted(paths) if Path(path).is_file()]


def on_all_cores(function: Callable, given: Iterable) -> Iterator:
    """Yield what a function gives for each of what is given, in order."""
    with single_threaded_products(), ThreadPoolExecutor(cores()) as pool:
        yield from pool.map(function, given)
