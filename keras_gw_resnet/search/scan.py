"""Slide a window classifier over strain of any length, every convolution computed once.

The features of a long stretch are those of its windows wherever the window's edges were not seen; a network built
with `crop_edges` averages only such features, so its scan equals window-by-window prediction to rounding.
"""

import keras
import numpy as np
from keras import layers

from keras_gw_resnet.errors import InputError
from keras_gw_resnet.models.receptive import receptive_field

CHUNK_SAMPLES = 32768
HEAD_LAYERS = (layers.Dropout, layers.Dense, layers.Activation, layers.BatchNormalization)


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
        self._network = self._slide(model, features, pool)

    def _slide(self, model, features, pool):
        strain = keras.Input((None, self.detectors), name="strain")
        trunk = keras.Model(model.input, features)
        sliding = keras.models.clone_model(trunk, input_tensors=strain)
        sliding.set_weights(trunk.get_weights())
        x = layers.AveragePooling1D(features.shape[1], strides=1, padding="valid")(sliding.outputs[0])
        for layer in model.layers[model.layers.index(pool) + 1 :]:
            if not isinstance(layer, HEAD_LAYERS):
                raise InputError(
                    f"network {model.name}: a head with a {type(layer).__name__} layer cannot be slid over strain"
                )
            if isinstance(layer, layers.Dense) and layer.activation is not keras.activations.linear:
                # A squashing output saturates: loud events are ranked by what goes into it.
                config = {**layer.get_config(), "activation": "linear"}
                weights, layer = layer.get_weights(), layers.Dense.from_config(config)  # noqa: PLW2901
                layer.build(x.shape)
                layer.set_weights(weights)
            x = layer(x)
        network = keras.Model(sliding.inputs, x)
        network.compile(jit_compile=False if keras.backend.backend() == "tensorflow" else "auto")
        return network

    def scores(self, strain, progress=None):
        """Score every window of a stretch.

        Args:
            strain: Whitened float32 array (samples, detectors), at least one window long.
            progress: Called with the number of samples done, chunk by chunk.

        Returns:
            float32 array (windows,): score i belongs to the window that starts at sample i * stride.
        """
        count = (len(strain) - self.window_samples) // self.stride + 1
        if count < 1:
            raise ValueError(f"strain of {len(strain)} samples is shorter than the window of {self.window_samples}")
        # All chunks have one length, so that one compiled graph serves them.
        chunk_scores = min(count, max(1, CHUNK_SAMPLES // self.stride))
        chunk = (chunk_scores - 1) * self.stride + self.window_samples
        scores = np.empty(count, np.float32)
        for first in range(0, count, chunk_scores):
            piece = strain[first * self.stride : first * self.stride + chunk]
            if len(piece) < chunk:
                piece = np.concatenate([piece, np.zeros((chunk - len(piece), self.detectors), np.float32)])
            last = min(count, first + chunk_scores)
            scores[first:last] = self._network.predict_on_batch(piece[None])[0, : last - first, 0]
            if progress is not None:
                progress((last - first) * self.stride)
        return scores
