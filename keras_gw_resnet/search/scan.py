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
from keras_gw_resnet.models.receptive import before_cropping, receptive_field
from keras_gw_resnet.search.folding import for_inference

# Long rows waste little at their ends; several at once keep all cores busy.
ROW_SAMPLES, ROWS = 32768, 4
# Of networks that score window by window: sixteen windows a second at 2048 Hz.
WINDOW_STRIDE = 128
SCORED_AT_ONCE = 256


@dataclass(frozen=True)
class Scan:
    """What a network says about a stretch of strain.

    A network that ends in an average over time and one dense layer is a sum over time: its score of a window is the
    mean of the evidence that lies in it, and the evidence says where in the window the signal is. Of any other network
    the score of a window is all the evidence there is (reach 1).

    Attributes:
        scores: float32 array (windows,): score i belongs to the window that starts at sample i * stride.
        evidence: float32 array (windows + reach - 1,): score i is the mean of evidence [i, i + reach).
        reach: Values of evidence in a window.
    """

    scores: np.ndarray
    evidence: np.ndarray
    reach: int


def _sum_over_time(model):
    """Return the parts of a network that ends in an average over time and a dense layer, None for any other.

    They are the averaged features, their receptive field, and how many were cropped.
    """
    pools = [layer for layer in model.layers if isinstance(layer, layers.GlobalAveragePooling1D)]
    if len(pools) != 1:
        return None
    after = model.layers[model.layers.index(pools[0]) + 1 :]
    after = [layer for layer in after if not isinstance(layer, layers.Dropout)]
    features, cropping = before_cropping(pools[0].input)
    if len(after) != 1 or not isinstance(after[0], layers.Dense):
        return None
    try:
        field = receptive_field(model.input, features)
    except ValueError:
        return None
    return (pools[0].input, field, cropping) if model.input_shape[1] % field.stride == 0 else None


def _is_exact(field, cropping):
    """Say whether features are those of the window alone: local, and without those that saw beyond its edges."""
    return field.local and all(c >= seen for c, seen in zip(cropping, field.padded_features, strict=True))


def _last_step(model):
    """Return (what goes into the last layer, kernel, bias): its linear part as a network's logit for a signal.

    A squashing activation saturates, so loud events are ranked by what goes into it. Of two outputs the second is the
    signal's, and the logit is their difference.
    """
    last = model.layers[-1]
    if isinstance(last, layers.Dense):
        arriving, (kernel, *bias) = last.input, last.get_weights()
        bias = bias[0] if bias else np.zeros(kernel.shape[-1], np.float32)
    elif isinstance(last, layers.Activation | layers.Softmax):
        arriving, kernel = last.input, np.eye(model.output_shape[-1], dtype=np.float32)
        bias = np.zeros(len(kernel), np.float32)
    else:
        return model.outputs[0], np.eye(1, dtype=np.float32), np.zeros(1, np.float32)
    if kernel.shape[-1] == 2:
        return arriving, kernel[:, 1:] - kernel[:, :1], bias[1:] - bias[:1]
    return arriving, kernel, bias


def _linear(arriving, kernel, bias, name):
    dense = layers.Dense(1, name=name, dtype="float32")
    scores = dense(arriving)
    dense.set_weights([kernel, bias])
    return scores


class Scanner:
    """A window classifier turned into a scanner.

    A network that ends in an average over time and a dense layer is slid over the strain, an ensemble of such member by
    member; any other scores window by window, which is slow, and exact by definition.

    Args:
        model: `keras.Model` (batch, window, detectors) -> (batch, 1).
        precision: "float32", or "bfloat16" for the arithmetic of all layers but the last.
        exact: Whether a network that can be slid only approximately is to score window by window.

    Attributes:
        window_samples: Length of the classifier's window; `window_shape` has the detectors too.
        stride: Samples from one score to the next.
        reach: Values of evidence in a window.
        exact: Whether the scan equals `model.predict` on every window, by the construction of the network.
        slides: Whether every convolution is computed once, and not once a window.

    Raises:
        InputError: The network has more than two outputs.
    """

    def __init__(self, model, precision="float32", *, exact=False):
        self._model, self._logits = model, None
        self.window_shape = self.window_samples, self.detectors = model.input_shape[1:]
        if model.output_shape[-1] not in (1, 2):
            raise InputError(f"network {model.name} has {model.output_shape[-1]} outputs; a search needs one, or two")
        self._members, self._weights, self._bias = self._of_ensemble(precision)
        if self._members and not (exact and not all(member.exact for member in self._members)):
            first = self._members[0]
            self.stride, self.reach, self.slides = first.stride, first.reach, True
            self.exact = all(member.exact for member in self._members)
            return
        self._members, parts = [], _sum_over_time(model)
        if parts and exact and not _is_exact(*parts[1:]):
            parts = None
        self.slides, self.reach = bool(parts), parts[0].shape[1] if parts else 1
        self._network = self._slide(model, precision, *parts) if parts else self._by_windows(model, precision)
        self._network.compile(jit_compile=jit_compile())
        self._score = self._slid if parts else self._each

    def _of_ensemble(self, precision):
        """Return scanners of the members of an ensemble that can all be slid alike, their weights and the bias."""
        members = [layer for layer in self._model.layers if isinstance(layer, keras.Model)]
        joining = [
            layer
            for layer in self._model.layers
            if not isinstance(layer, keras.Model | layers.InputLayer | layers.Dropout)
        ]
        if [type(layer) for layer in joining] == [layers.Average]:
            weights, bias = np.full(len(members), 1 / max(len(members), 1)), 0.0
        elif [type(layer) for layer in joining] == [layers.Concatenate, layers.Dense]:
            members = [tensor._keras_history.operation for tensor in joining[0].input]
            weights, *bias = joining[1].get_weights()
            weights, bias = weights[:, 0], float(bias[0][0]) if bias else 0.0
        else:
            return [], None, None
        if not members or not all(_sum_over_time(member) for member in members):
            return [], None, None
        scanners = [Scanner(member, precision) for member in members]
        alike = len({scanner.stride for scanner in scanners}) == 1
        return (scanners if alike else []), weights, bias

    def _slide(self, model, precision, features, field, cropping):
        self.stride = field.stride
        self.exact = _is_exact(field, cropping)
        strain = keras.Input((None, self.detectors), name="strain")
        sliding = for_inference(keras.Model(model.input, features), strain, precision)
        # The mean and a linear layer may change places.
        return keras.Model(sliding.inputs, _linear(sliding.outputs[0], *_last_step(model)[1:], "evidence"))

    def _by_windows(self, model, precision):
        self.stride, self.exact = min(WINDOW_STRIDE, self.window_samples), True
        arriving, kernel, bias = _last_step(model)
        lean = for_inference(keras.Model(model.input, arriving), precision=precision)
        return keras.Model(lean.inputs, _linear(lean.outputs[0], kernel, bias, "evidence"))

    def _slid(self, strain, first, last, each):
        """Compute evidence [first, last), in rows of `each`."""
        step, length = each * self.stride, each * self.stride + self.window_samples - self.reach * self.stride
        rows = np.zeros((-(-(last - first) // each), length, self.detectors), np.float32)
        for number, row in enumerate(rows):
            piece = strain[first * self.stride + number * step :][:length]
            row[: len(piece)] = piece
        return self._network.predict_on_batch(rows)[:, :each, 0].ravel()[: last - first]

    def _each(self, strain, first, last, each):
        windows = np.zeros((each * ROWS, self.window_samples, self.detectors), np.float32)
        for row, start in enumerate(range(first * self.stride, last * self.stride, self.stride)):
            windows[row] = strain[start : start + self.window_samples]
        return self._network.predict_on_batch(windows)[: last - first, 0]

    def difference(self, strain, scores, windows=32):
        """Return the largest difference between the scores of a scan and the network's own of those windows.

        Args:
            strain: What was scanned, (samples, detectors).
            scores: `Scan.scores` of it.
            windows: How many to compare, the highest score and others evenly spread.

        Returns:
            Of a network that ends in a sigmoid, of what goes into it.
        """
        chosen = np.unique(np.append(np.linspace(0, len(scores) - 1, windows - 1).astype(int), np.argmax(scores)))
        cut = np.stack([strain[i * self.stride : i * self.stride + self.window_samples] for i in chosen])
        return float(np.max(np.abs(self.score(cut) - scores[chosen])))

    def score(self, windows):
        """Score windows with the network as it was trained, in batches.

        Args:
            windows: Whitened float32 array (n, window_samples, detectors).

        Returns:
            float32 array (n,): the logit, where the network ends in a sigmoid what goes into it.
        """
        if self._logits is None:
            self._logits = keras.Model(self._model.input, _linear(*_last_step(self._model), "logit"))
        batches = [
            keras.ops.convert_to_numpy(self._logits(windows[at : at + SCORED_AT_ONCE], training=False))
            for at in range(0, len(windows), SCORED_AT_ONCE)
        ]
        return np.concatenate(batches)[:, 0] if batches else np.empty(0, np.float32)

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
        if self._members:
            return self._joined(
                [member.scan(strain, progress if member is self._members[0] else None) for member in self._members]
            )
        count = windows + self.reach - 1
        # All rows have one length, so that one compiled graph serves them.
        each = min(-(-count // ROWS), max(self.reach, ROW_SAMPLES // self.stride))
        evidence = np.empty(count, np.float32)
        for first in range(0, count, ROWS * each):
            last = min(count, first + ROWS * each)
            evidence[first:last] = self._score(strain, first, last, each)
            if progress is not None:
                progress((last - first) * self.stride)
        total = np.cumsum(np.concatenate([[0.0], evidence]), dtype=np.float64)
        scores = (total[self.reach :] - total[: -self.reach]) / self.reach
        return Scan(scores.astype(np.float32), evidence, self.reach)

    def _joined(self, scans):
        """Join the scans of members: their scores by weight; of the evidence that of the first, which says where."""
        scores = sum(weight * scan.scores for weight, scan in zip(self._weights, scans, strict=True)) + self._bias
        return Scan(scores.astype(np.float32), scans[0].evidence, scans[0].reach)
