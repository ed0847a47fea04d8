"""The score of a scan as a function of strain, of which the backend of Keras makes gradients, and what it adds up of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_gw_resnet.models.graph import parts_of
from keras_gw_resnet.models.ranking import LIGHT_SCORE
from keras_gw_resnet.search.keras_scan import logits_of, sliding

if TYPE_CHECKING:
    from keras_gw_resnet.search.detector import Detector


class Statistic:
    """The score that a scan gives some strain; of an ensemble, or a network that cannot be slid, that of the classifier's window.

    Args:
        network: Detector.

    Attributes:
        samples: That a score is of.
        skipped: How many scores of the scan begin before the one that such a window is of.
    """

    def __init__(self, network: Detector) -> None:
        model, scanner = network.model, network.scanner
        self._parts = parts_of(model)
        self._slides, self._reach = scanner.slides and self._parts.slides, scanner.reach
        self.samples = scanner.window_samples if self._slides else model.input_shape[1]
        self.skipped = 0 if self._slides else (scanner.positions - 1) // 2
        self._network = sliding(model, self._parts, "float32") if self._slides else logits_of(model)

    def __call__(self, strain: Any) -> Any:
        """Return the score of each of some strain (n, samples, detectors) as a tensor (n,)."""
        if not self._slides:
            return self._network(strain, training=False)[:, 0]
        return keras.ops.mean(self._network([strain], training=False)[:, : self._reach, 0], axis=1)

    def parts(self, strain: np.ndarray) -> dict[str, float]:
        """Say how the score of some strain (samples, detectors) adds up: what the matched filter ranks, what the stack says, and the bias.

        Returns:
            {"matched filter": ..., "stack": ..., "bias": ...}, the first where what is ranked goes around the stack; empty of what cannot be slid.
        """
        if not self._slides:
            return {}
        light = self._parts.front.statistic_light > 0
        last = self._network.get_layer("score" if light else "evidence")
        kernel, bias = (np.asarray(weight, np.float64) for weight in last.get_weights())
        before = keras.Model(self._network.inputs[0], last.input)
        features = keras.ops.convert_to_numpy(before(strain[None], training=False))[0]
        if kernel.ndim == 2:
            kernel, features = kernel[None], features[: self._reach].mean(axis=0)[None]
        added = (kernel[..., 0] * features[: len(kernel)]).sum(axis=0)
        around = self._parts.front.statistic_shortcut > 0
        filtered, stack, bias = float(added[-1]), float(added[: -1 if around else None].sum()), float(bias[0])
        if light:
            filtered, stack, bias = self._of_class(strain, filtered, stack, bias)
        return {**({"matched filter": filtered} if around else {}), "stack": stack, "bias": bias}

    def _of_class(self, strain, filtered, stack, bias):
        """Return the parts for the likelier class of binaries; what the other one adds goes with the bias."""
        last = self._network.get_layer(LIGHT_SCORE)
        (kernel, constant), given = last.get_weights(), keras.Model(self._network.inputs[0], last.input)
        share, _, weight = kernel[0, :, 0]
        evidence, _, light = keras.ops.convert_to_numpy(given(strain[None], training=False))[0, 0]
        whole = float(self(strain[None])[0])
        lighter = (float(weight * light), float(share) * stack, float(share) * bias + float(constant[0]))
        filtered, stack, bias = lighter if sum(lighter) > evidence else (filtered, stack, bias)
        return filtered, stack, whole - filtered - stack
