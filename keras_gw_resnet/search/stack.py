"""The convolutions of a trained network in NumPy: inference alone, each sequence an array (steps, channels)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from keras_gw_resnet.search.plan import Operation


def _sigmoid(x):
    with np.errstate(over="ignore"):  # which gives 0
        return 1 / (1 + np.exp(-x))


ACTIVATIONS: dict[str, Callable] = {
    "relu": lambda x: np.maximum(x, np.float32(0)),
    "sigmoid": _sigmoid,
    "tanh": np.tanh,
    "linear": lambda x: x,
}


class UnknownError(ValueError):
    """A network has an operation that is not known here."""


class Stack:
    """What leads from the features of a matched filter to the input of the head.

    Args:
        operations: In order.

    Raises:
        UnknownError: One of them is not known here.
    """

    def __init__(self, operations: Iterable[Operation]) -> None:
        operations, passed, steps = list(operations), {}, {}
        readers = [name for operation in operations for name in operation.taken]
        for operation in operations:
            taken = [passed.get(name, name) for name in operation.taken]
            if operation.kind == "Dropout":
                passed[operation.name] = taken[0]
                continue
            _, before = steps.get(taken[0], (None, None))
            folds = isinstance(before, Convolution) and before.linear and readers.count(operation.taken[0]) == 1
            if operation.kind == "BatchNormalization" and folds:
                before.fold(*scale_and_shift(operation))
                passed[operation.name] = taken[0]
                continue
            steps[operation.name] = taken, _made(operation)
        # What nothing takes any more is let go, so that its memory is used again while it is in the cache.
        last = {name: number for number, (taken, _) in enumerate(steps.values()) for name in taken}
        self._steps = [
            (
                name,
                taken,
                [each for each in dict.fromkeys(taken) if last[each] == number and isinstance(each, str)],
                made,
            )
            for number, (name, (taken, made)) in enumerate(steps.items())
        ]
        self.output = self._steps[-1][0]

    def __call__(self, **given: np.ndarray) -> np.ndarray:
        """Return what the last operation gives.

        Args:
            **given: What stands for the operations before the first, arrays (steps, channels).
        """
        for name, taken, done, function in self._steps:
            given[name] = function(*(given[each] if isinstance(each, str) else each for each in taken))
            for each in done:
                del given[each]
        return given[self.output]


def scale_and_shift(operation: Operation) -> tuple[np.ndarray, np.ndarray]:
    """Return by what a batch norm multiplies, and what it then adds, in use."""
    config, weights = operation.config, [each.astype(np.float64) for each in operation.weights]
    if config.get("axis", -1) not in (-1, 2):
        raise UnknownError(f"{operation.name} does not go over the channels")
    *rest, mean, variance = weights
    gamma = rest.pop(0) if config.get("scale", True) else 1.0
    beta = rest.pop(0) if config.get("center", True) else 0.0
    scale = gamma / np.sqrt(variance + config.get("epsilon", 1e-3))
    return scale, beta - mean * scale


class Convolution:
    """A convolution along time.

    Attributes:
        linear: Whether it has no activation.
    """

    def __init__(self, operation: Operation) -> None:
        config = operation.config
        known = {"groups": 1, "data_format": "channels_last"}
        padding, dilation = config.get("padding", "valid"), _number(config.get("dilation_rate", 1))
        if any(config.get(key, value) != value for key, value in known.items()) or padding not in ("same", "valid"):
            raise UnknownError(f"{operation.name} is no plain convolution")
        kernel, *bias = operation.weights
        self._kernel = kernel.astype(np.float64)
        self._bias = bias[0].astype(np.float64) if bias else np.zeros(kernel.shape[-1])
        self._stride, self._dilation, self._same = _number(config.get("strides", 1)), dilation, padding == "same"
        self._activation = _activation(operation)
        self.linear = operation.config.get("activation") in (None, "linear")
        self._ready()

    def fold(self, scale: np.ndarray, shift: np.ndarray) -> None:
        """Multiply what comes out by a scale, and add a shift."""
        self._kernel, self._bias = self._kernel * scale, self._bias * scale + shift
        self._ready()

    def _ready(self):
        self._flat = self._kernel.reshape(-1, self._kernel.shape[-1]).astype(np.float32)
        self._beside = np.concatenate(list(self._kernel), axis=1).astype(np.float32)
        self._added = self._bias.astype(np.float32)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Convolve an array (steps, channels)."""
        taps, channels = self._kernel.shape[:2]
        stride, reach = self._stride, (taps - 1) * self._dilation + 1
        if self._same:
            lacking = max(reach - (len(x) % stride or stride), 0)
            if lacking:
                padded = np.zeros((len(x) + lacking, channels), np.float32)
                padded[lacking // 2 : lacking // 2 + len(x)] = x
                x = padded
        steps = (len(x) - reach) // stride + 1
        if taps > 1 and channels > 2 * self._flat.shape[1]:
            # Few come out: each tap by itself, and what they give added, is less to copy than all that goes in.
            every = x @ self._beside
            parts = np.split(every, taps, axis=1)
            found = sum(part[tap * self._dilation :][: len(x) - reach + 1 : stride] for tap, part in enumerate(parts))
        elif taps > 1 and self._dilation == 1:
            # Rows of a matrix may not overlap in a product: so many interleaved ones do not, and nothing is copied.
            found, apart = np.empty((steps, self._flat.shape[1]), np.float32), -(-taps // stride)
            x = np.ascontiguousarray(x)
            ahead, along = x.strides
            for phase in range(min(apart, steps)):
                own = found[phase::apart]
                shape, strides = (len(own), taps * channels), (ahead * stride * apart, along)
                rows = np.lib.stride_tricks.as_strided(x[phase * stride :], shape, strides, writeable=False)
                np.matmul(rows, self._flat, out=own)
        elif taps > 1:
            ahead, along = x.strides
            shape, strides = (steps, taps, channels), (ahead * stride, ahead * self._dilation, along)
            found = np.lib.stride_tricks.as_strided(x, shape, strides, writeable=False).reshape(steps, -1) @ self._flat
        else:
            found = x[::stride] @ self._flat
        found += self._added
        return self._activation(found)


def _pooling(config, join, scale=1.0):
    """Return a pooling; zeros beyond the ends, which no feature that is kept sees."""
    size = _number(config.get("pool_size", 2))
    stride, same = _number(config.get("strides") or size), config.get("padding", "valid") == "same"

    def pool(x):
        lacking = max(size - (len(x) % stride or stride), 0) if same else 0
        x = np.pad(x, ((lacking // 2, lacking - lacking // 2), (0, 0))) if lacking else x
        last = len(x) - size + 1
        found = x[0:last:stride] * scale
        for tap in range(1, size):
            found = join(found, x[tap : last + tap : stride] * scale)
        return found

    return pool


def _number(value):
    return value[0] if isinstance(value, list | tuple) else value


def _activation(operation):
    name = operation.config.get("activation") or "linear"
    if name not in ACTIVATIONS:
        raise UnknownError(f"{operation.name}: {name}")
    return ACTIVATIONS[name]


def _norm(operation):
    scale, shift = (value.astype(np.float32) for value in scale_and_shift(operation))
    return lambda x: x * scale + shift


def _crop(operation):
    first, last = operation.config.get("cropping", (1, 1))
    return lambda x: x[first : len(x) - last]


# Function that an operation stands for, by its kind in Keras.
MADE: dict[str, Callable] = {
    "Conv1D": Convolution,
    "BatchNormalization": _norm,
    "Activation": _activation,
    "Concatenate": lambda operation: lambda *arrays: np.concatenate(arrays, axis=-1),
    "Cropping1D": _crop,
    "MaxPooling1D": lambda operation: _pooling(operation.config, np.maximum),
    "AveragePooling1D": lambda operation: _pooling(
        operation.config, np.add, np.float32(1 / _number(operation.config.get("pool_size", 2)))
    ),
    "Add": lambda operation: np.add,
    "Multiply": lambda operation: np.multiply,
    "Subtract": lambda operation: np.subtract,
}


def _made(operation):
    pair = len(operation.taken) == 2
    if operation.kind not in MADE or (operation.kind in ("Add", "Multiply", "Subtract") and not pair):
        raise UnknownError(f"{operation.name}: {operation.kind}")
    return MADE[operation.kind](operation)
