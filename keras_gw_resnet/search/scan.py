"""Slide a window classifier over strain of any length, every convolution computed once.

The features of a long stretch are those of its windows wherever the window's edges were not seen; a network built
with `crop_edges` averages only such features, so its scan equals window-by-window prediction to rounding.
"""

from dataclasses import dataclass

import keras
import numpy as np
from keras import layers

from keras_gw_resnet.backend import jit_compile
from keras_gw_resnet.errors import InputError
from keras_gw_resnet.models.receptive import receptive_field

CHUNK_SAMPLES = 32768


@dataclass(frozen=True)
class Scan:
    """What a network says about a stretch of strain.

    A network that ends in an average over time and one dense layer is a sum over time: its score of a window is the
    mean of the evidence that lies in it, and the evidence says where in the window the signal is.

    Attributes:
        scores: float32 array (windows,): score i belongs to the window that starts at sample i * stride.
        evidence: float32 array (windows + reach - 1,): score i is the mean of evidence [i, i + reach).
        reach: Values of evidence in a window.
    """

    scores: np.ndarray
    evidence: np.ndarray
    reach: int


def _pooling(model):
    pools = [layer for layer in model.layers if isinstance(layer, layers.GlobalAveragePooling1D)]
    if len(pools) != 1:
        raise InputError(
            f"network {model.name} has {len(pools)} global average poolings; expected one, after which it can be slid over strain"
        )
    return pools[0]


class Scanner:
    """A window classifier turned into a scanner.

    Args:
        model: `keras.Model` (batch, window, detectors) -> (batch, 1), with one global average pooling.

    Attributes:
        window_samples: Length of the classifier's window.
        stride: Samples from one score to the next.
        exact: Whether the scan equals `model.predict` on every window, by the construction of the network.

    Raises:
        InputError: The network cannot be slid over strain.
    """

    def __init__(self, model):
        _, self.window_samples, self.detectors = model.input_shape
        if model.output_shape[-1] != 1:
            raise InputError(f"network {model.name} has {model.output_shape[-1]} outputs; a search needs one")
        pool = _pooling(model)
        features = pool.input
        cropping = pool.input._keras_history.operation
        cropped = isinstance(cropping, layers.Cropping1D)
        uncropped = cropping.input if cropped else features
        field = receptive_field(model.input, uncropped)
        self.stride = field.stride
        if self.window_samples % self.stride:
            raise InputError(
                f"window of {self.window_samples} samples is no multiple of the network's stride {self.stride}"
            )
        self.exact = cropped and all(
            crop >= seen for crop, seen in zip(cropping.cropping, field.padded_features, strict=True)
        )
        self.reach = features.shape[1]
        self._evidence = self._slide(model, features, pool)

    def _slide(self, model, features, pool):
        after = [
            layer for layer in model.layers[model.layers.index(pool) + 1 :] if not isinstance(layer, layers.Dropout)
        ]
        if len(after) != 1 or not isinstance(after[0], layers.Dense):
            names = ", ".join(type(layer).__name__ for layer in after)
            raise InputError(
                f"network {model.name} ends in {names}; expected one Dense layer after the average over time"
            )
        strain = keras.Input((None, self.detectors), name="strain")
        trunk = keras.Model(model.input, features)
        sliding = keras.models.clone_model(trunk, input_tensors=strain)
        sliding.set_weights(trunk.get_weights())
        # The mean and a linear layer may change places. A squashing activation is left out: it saturates, and loud
        # events have to be ranked by what goes into it.
        dense = layers.Dense(1, name="evidence")
        network = keras.Model(sliding.inputs, dense(sliding.outputs[0]))
        dense.set_weights(after[0].get_weights())
        network.compile(jit_compile=jit_compile())
        return network

    def scan(self, strain, progress=None):
        """Score every window of a stretch.

        Args:
            strain: Whitened float32 array (samples, detectors), at least one window long.
            progress: Called with the number of samples done, chunk by chunk.

        Returns:
            Scan.
        """
        windows = (len(strain) - self.window_samples) // self.stride + 1
        if windows < 1:
            raise ValueError(f"strain of {len(strain)} samples is shorter than the window of {self.window_samples}")
        count = windows + self.reach - 1
        overlap = self.window_samples - self.reach * self.stride
        # All chunks have one length, so that one compiled graph serves them.
        each = min(count, max(self.reach, CHUNK_SAMPLES // self.stride))
        chunk = each * self.stride + overlap
        evidence = np.empty(count, np.float32)
        for first in range(0, count, each):
            piece = strain[first * self.stride : first * self.stride + chunk]
            if len(piece) < chunk:
                piece = np.concatenate([piece, np.zeros((chunk - len(piece), self.detectors), np.float32)])
            last = min(count, first + each)
            evidence[first:last] = self._evidence.predict_on_batch(piece[None])[0, : last - first, 0]
            if progress is not None:
                progress((last - first) * self.stride)
        total = np.cumsum(np.concatenate([[0.0], evidence]), dtype=np.float64)
        scores = (total[self.reach :] - total[: -self.reach]) / self.reach
        return Scan(scores.astype(np.float32), evidence, self.reach)
