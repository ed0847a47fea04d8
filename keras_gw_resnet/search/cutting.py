"""Cut a scan network in two: what it makes of the strain of each detector alone, and what joins the detectors.

Slid against each other, or one of them silent, the detectors give the same each for itself: only the second part runs again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras
import numpy as np
from keras import layers

from keras_gw_resnet.backend import jit_compile
from keras_gw_resnet.models.matched_filter import PRECISION, STRIDE
from keras_gw_resnet.models.origins import Origins
from keras_gw_resnet.search.folding import scale_and_shift

if TYPE_CHECKING:
    from collections.abc import Iterable


class _Mix:
    """A convolution of kernel size 1, with the batch norm before it: the sum of what it makes of each thing that it takes.

    Args:
        convolution, norm, parts: See `Origins.mixing`.

    Attributes:
        output: What it gives.
    """

    def __init__(self, convolution, norm, parts):
        kernel, *bias = (np.asarray(weights, np.float64) for weights in convolution.get_weights())
        scale, shift = scale_and_shift(norm) if norm else (np.ones(kernel.shape[1]), np.zeros(kernel.shape[1]))
        self.output, self._bias = convolution.output, shift @ kernel[0] + (bias[0] if bias else 0.0)
        ends = np.cumsum([tensor.shape[-1] for tensor in parts])[:-1]
        self._kernels = {
            id(tensor): own for tensor, own in zip(parts, np.split(kernel[0] * scale[:, None], ends), strict=True)
        }

    def __call__(self, parts, given, *, bias):
        """Mix some of what it takes.

        Args:
            parts: Tensors of the network.
            given: What stands for them.
            bias: Whether to add the bias.
        """
        taken = layers.Concatenate(dtype=PRECISION)(given) if len(given) > 1 else given[0]
        mix = layers.Conv1D(self.output.shape[-1], 1, use_bias=bias, dtype=PRECISION)
        mixed = mix(taken)
        kernel = np.concatenate([self._kernels[id(tensor)] for tensor in parts])
        mix.set_weights([kernel[None], *([self._bias] if bias else [])])
        return mixed


class Cut:
    """A scan network cut in two: `own` for the strain of each detector, `join` for what that gave.

    Args:
        model: Functional `keras.Model` of strain (batch, samples, detectors) that gives one sequence.
        fused: Whether to join the operations of the second part into few: for many that are small.

    Raises:
        ValueError: It does not look at each detector alone.
    """

    def __init__(self, model: keras.Model, *, fused: bool = False) -> None:
        origins = Origins(model)
        if not 1 < len(origins.columns) == model.input_shape[-1]:
            raise ValueError(f"{model.name} does not look at each detector alone")
        found = origins.mixing()
        mix, parts = (_Mix(*found), found[-1]) if found else (None, [])
        rest = origins.needed(model.outputs, [mix.output] if mix else [])
        several = [tensor for tensor in parts if origins.detector(tensor) is None]
        needed = {id(tensor): tensor for tensor in [*rest, *origins.needed(several)]}
        # What stands for the tensors at the cut in the second part, in the order in which it takes them.
        known, inputs, mixed, self._own = {}, [], [], []
        for detector, column in enumerate(origins.columns):
            taken = [tensor for tensor in needed.values() if origins.detector(tensor) == detector]
            own = [tensor for tensor in parts if origins.detector(tensor) == detector]
            strain = keras.Input((None, 1))
            given = _called(column, [*taken, *own], strain)
            given[len(taken) :] = [mix(own, given[len(taken) :], bias=not mixed)] if mix and own else []
            self._own.append(_compiled(keras.Model(strain, given)))
            inputs.append([keras.Input(tensor.shape[1:]) for tensor in given])
            known.update({id(tensor): stands for tensor, stands in zip(taken, inputs[-1], strict=False)})
            mixed += inputs[-1][len(taken) :]
        if mix and several:
            taken = origins.needed(several)
            given = _called(taken, several, [known[id(tensor)] for tensor in taken])
            mixed.append(mix(several, given, bias=False))
        if mix:
            known[id(mix.output)] = layers.Add(dtype=PRECISION)(mixed)
        evidence = _called(rest, model.outputs, [known[id(tensor)] for tensor in rest])
        self._join = _compiled(
            keras.Model([each for own in inputs for each in own], evidence),
            fused=fused,
        )

    def own(self, detector: int, strain: np.ndarray, *, bounded: bool = False) -> list[np.ndarray]:
        """Return what one detector gives alone.

        Args:
            detector: Number.
            strain: Float32 array (samples,), a whole number of `STRIDE`.
            bounded: Of `lean.Lean.own`; here all is worked out.

        Returns:
            List of arrays (samples / STRIDE, channels).
        """
        return [each[0] for each in _listed(self._own[detector].predict_on_batch(strain[None, :, None]))]

    def silent(self, detector: int, steps: int, *, bounded: bool = False) -> list[np.ndarray]:
        """Return what so many steps of a detector without strain give."""
        return self.own(detector, np.zeros(steps * STRIDE, np.float32), bounded=bounded)

    def join(self, given: Iterable[list[np.ndarray]], above: float | None = None) -> np.ndarray:
        """Join what `own` gave for each detector, all of one length; return the evidence, float32 array (n,), exact below `above`, too."""
        return self._join.predict_on_batch([array[None] for own in given for array in own])[0, :, 0]


def _called(inputs, outputs, given):
    """Return what the part of a network from some tensors to others gives, as a list."""
    return _listed(keras.Model(inputs, outputs)(given))


def _listed(found):
    """Return a list of what Keras gives, which is no list where it is only one."""
    return list(found) if isinstance(found, list | tuple) else [found]


def _compiled(model, *, fused=False):
    """Compile a model; `fused` joins its operations into few, which convolutions of long kernels do not like."""
    model.compile(jit_compile=fused or jit_compile())
    return model
