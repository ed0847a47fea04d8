"""Slide a window classifier over strain of any length, every convolution computed once.

The features of a long stretch are those of its windows wherever the window's edges were not seen; a network built
with `crop_edges` averages only such features, so its scan equals window-by-window prediction to rounding. One that ends
in the log-sum-exp of logits at positions is ranked by those: each is the score of the shorter window that this position takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras
import numpy as np
import scipy.special
from keras import layers

from keras_gw_resnet.backend import jit_compile
from keras_gw_resnet.errors import InputError
from keras_gw_resnet.models.graph import head_of, joined_by, parts_of
from keras_gw_resnet.models.matched_filter import STRIDE
from keras_gw_resnet.search.background import arranged
from keras_gw_resnet.search.cutting import Cut
from keras_gw_resnet.search.folding import for_inference

# Long rows waste little at their ends; several at once keep all cores busy.
ROW_SAMPLES, ROWS = 32768, 4
# Of networks that score window by window: sixteen windows a second at 2048 Hz.
WINDOW_STRIDE = 128
SCORED_AT_ONCE, COMPARED_AT_ONCE = 256, 8
# Lengths of what is joined at once are multiples of so many samples, so that few graphs are compiled.
JOINED_SAMPLES = 16384


@dataclass(frozen=True)
class Scan:
    """What a network says about a stretch of strain.

    A network that ends in an average over time and one dense layer is a sum over time: its score of a window is the
    mean of the evidence that lies in it, and the evidence says where in the window the signal is. Of any other network
    the score of a window is all the evidence there is (reach 1). A network that ends in a log-sum-exp over positions has
    a score for each of them: its window here is the shorter one that holds just one position.

    Attributes:
        scores: float32 array (windows,): score i belongs to the window that starts at sample i * stride.
        evidence: float32 array (windows + reach - 1,): score i is the mean of evidence [i, i + reach).
        reach: Values of evidence in a window.
    """

    scores: np.ndarray
    evidence: np.ndarray
    reach: int


def _last_step(model):
    """Return (what goes into the last layer, kernel, bias): its linear part as a network's logit for a signal.

    A squashing activation saturates, so loud events are ranked by what goes into it. Of two outputs the second is the
    signal's, and the logit is their difference.
    """
    last = model.layers[-1]
    if isinstance(last, layers.Dense):
        arriving, (kernel, *bias) = last.input, last.get_weights()
        bias = bias[0] if bias else np.zeros(kernel.shape[-1], np.float32)
    else:
        arriving = last.input if isinstance(last, layers.Activation | layers.Softmax) else model.outputs[0]
        kernel = np.eye(model.output_shape[-1], dtype=np.float32)
        bias = np.zeros(len(kernel), np.float32)
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

    A network that ends in an average over time and a dense layer, or in the log-sum-exp of logits at positions, is slid over
    the strain, an ensemble of such member by member; any other scores window by window, which is slow, and exact by
    definition.

    Args:
        model: `keras.Model` (batch, window, detectors) -> (batch, 1).
        precision: "float32", or "bfloat16" for the arithmetic of all layers but the last, a front with templates and the ranking statistic.
        exact: Whether a network that can be slid only approximately is to score window by window.

    Attributes:
        window_shape: (samples, detectors) of the classifier's window.
        positions: How many scores make up that of a classifier's window, by log-sum-exp; 1: each is one.
        window_samples: Length of the window of one score: of the classifier's, or as long as one position takes.
        stride: Samples from one score to the next.
        reach: Values of evidence in a window.
        exact: Whether the scan equals `model.predict` on every window, by the construction of the network.
        slides: Whether every convolution is computed once, and not once a window.

    Raises:
        InputError: The network has more than two outputs.
    """

    def __init__(self, model: keras.Model, precision: str = "float32", *, exact: bool = False) -> None:
        self._model = model
        self.window_shape, self.positions = model.input_shape[1:], 1
        if model.output_shape[-1] not in (1, 2):
            raise InputError(f"network {model.name} has {model.output_shape[-1]} outputs; a search needs one, or two")
        self._members, self._bias = _members_of(model, precision)
        if self._members and not (exact and not all(member.scanner.exact for member in self._members)):
            self._slide_members()
        else:
            self._members, parts = [], parts_of(model)
            slides = parts.slides and (parts.exact or not exact)
            self._slide(parts, precision) if slides else self._by_windows(precision)
            self._network.compile(jit_compile=jit_compile())
        self.window_samples = self.window_shape[0] - (self.positions - 1) * self.stride

    def _slide_members(self):
        first = self._members[0].scanner
        self.stride, self.reach, self.slides = first.stride, first.reach, True
        self.exact = all(member.scanner.exact for member in self._members)
        self.positions = min(member.scanner.positions - member.skipped for member in self._members)

    def _slide(self, parts, precision):
        model, self.slides = self._model, True
        self.stride, self.exact, self.reach = parts.field.stride, parts.exact, parts.features
        strain = keras.Input((None, self.window_shape[1]), name="strain")
        head = head_of(model)
        sliding = for_inference(keras.Model(model.input, head.input), strain, precision)
        if parts.head == "average":
            # The mean and a linear layer may be swapped.
            evidence = _linear(sliding.outputs[0], *_last_step(model)[1:], "evidence")
        else:
            self.reach, self.positions = 1, parts.positions
            logits = layers.Conv1D(1, parts.head_kernel, name="evidence", dtype="float32")
            evidence = logits(sliding.outputs[0])
            logits.set_weights(head.get_weights())
        self._network, self._score = keras.Model(sliding.inputs, evidence), self._slid

    def _by_windows(self, precision):
        self.stride, self.exact, self.slides, self.reach = min(WINDOW_STRIDE, self.window_shape[0]), True, False, 1
        arriving, kernel, bias = _last_step(self._model)
        lean = for_inference(keras.Model(self._model.input, arriving), precision=precision)
        self._network = keras.Model(lean.inputs, _linear(lean.outputs[0], kernel, bias, "evidence"))
        self._score = self._each

    def _slid(self, strain, first, last, each):
        """Compute evidence [first, last), in rows of `each`."""
        step, length = each * self.stride, each * self.stride + self.window_samples - self.reach * self.stride
        rows = np.zeros((-(-(last - first) // each), length, self.window_shape[1]), np.float32)
        for number, row in enumerate(rows):
            piece = strain[first * self.stride + number * step :][:length]
            row[: len(piece)] = piece
        return self._network.predict_on_batch(rows)[:, :each, 0].ravel()[: last - first]

    def _each(self, strain, first, last, each):
        windows = np.zeros((each * ROWS, *self.window_shape), np.float32)
        for row, start in enumerate(range(first * self.stride, last * self.stride, self.stride)):
            windows[row] = strain[start : start + self.window_samples]
        return self._network.predict_on_batch(windows)[: last - first, 0]

    def difference(self, strain: np.ndarray, scores: np.ndarray, windows: int = 32) -> float:
        """Return the largest difference between the scores of a scan and the network's own of those windows.

        Args:
            strain: What was scanned, (samples, detectors).
            scores: `Scan.scores` of it, of at least one of the classifier's windows.
            windows: How many to compare, the highest score and others evenly spread.

        Returns:
            Of a network that ends in a sigmoid, of what goes into it.
        """
        pooled = np.lib.stride_tricks.sliding_window_view(scores, self.positions)
        highest = min(max(0, int(np.argmax(scores)) - self.positions // 2), len(pooled) - 1)
        chosen = np.unique(np.append(np.linspace(0, len(pooled) - 1, windows - 1).astype(int), highest))
        cut = np.stack([strain[i * self.stride : i * self.stride + self.window_shape[0]] for i in chosen])
        # A few at once: operation by operation, Keras keeps all that a network works out until it is done.
        own = np.concatenate(
            [self.score(cut[at : at + COMPARED_AT_ONCE]) for at in range(0, len(cut), COMPARED_AT_ONCE)]
        )
        return float(np.max(np.abs(own - scipy.special.logsumexp(pooled[chosen], axis=1))))

    def score(self, windows: np.ndarray) -> np.ndarray:
        """Score windows with the network as it was trained, in batches.

        Args:
            windows: Whitened float32 array (n, window_samples, detectors).

        Returns:
            float32 array (n,): the logit, where the network ends in a sigmoid what goes into it.
        """
        batches = [
            keras.ops.convert_to_numpy(self._logit_network(windows[at : at + SCORED_AT_ONCE], training=False))
            for at in range(0, len(windows), SCORED_AT_ONCE)
        ]
        return np.concatenate(batches)[:, 0] if batches else np.empty(0, np.float32)

    @cached_property
    def _logit_network(self):
        return keras.Model(self._model.input, _linear(*_last_step(self._model), "logit"))

    @property
    def statistic_samples(self) -> int:
        """Samples of the strain that one score is of; of an ensemble those of the classifier's window."""
        return self.window_shape[0] if self._members else self.window_samples

    def statistic(self, strain: Any) -> Any:
        """Return the score of each of some strain as a tensor, of which the backend makes gradients.

        Args:
            strain: Whitened, (n, statistic_samples, detectors).

        Returns:
            Tensor (n,).
        """
        if self._members:
            return self._logit_network(strain, training=False)[:, 0]
        evidence = self._network([strain], training=False)
        return keras.ops.mean(evidence[:, : self.reach, 0] if self.slides else evidence, axis=1)

    def statistic_parts(self, strain: np.ndarray) -> dict[str, float]:
        """Say how the score of some strain adds up: what the matched filter ranks, what the stack says, and the bias.

        Args:
            strain: Whitened, (statistic_samples, detectors).

        Returns:
            {"matched filter": ..., "stack": ..., "bias": ...}, the first where what is ranked goes around the stack; empty of a network whose last
            layer is no sum over features of both.
        """
        if self._members or not self.slides:
            return {}
        last = self._network.get_layer("evidence")
        kernel, bias = (np.asarray(weight, np.float64) for weight in last.get_weights())
        before = keras.Model(self._network.inputs[0], last.input)
        features = keras.ops.convert_to_numpy(before(strain[None], training=False))[0]
        if kernel.ndim == 2:
            kernel, features = kernel[None], features[: self.reach].mean(axis=0)[None]
        added = (kernel[..., 0] * features[: len(kernel)]).sum(axis=0)
        around = parts_of(self._model).front.statistic_shortcut > 0
        parts = {"matched filter": float(added[-1])} if around else {}
        return {**parts, "stack": float(added[: -1 if around else None].sum()), "bias": float(bias[0])}

    def scan(self, strain: np.ndarray, progress: Callable | None = None) -> Scan:
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
            return self._joined(strain, windows, progress)
        count = windows + self.reach - 1
        # All rows have one length, so that one compiled graph serves them.
        each = min(-(-count // ROWS), max(self.reach, ROW_SAMPLES // self.stride))
        evidence = np.empty(count, np.float32)
        for first in range(0, count, ROWS * each):
            last = min(count, first + ROWS * each)
            evidence[first:last] = self._score(strain, first, last, each)
            if progress is not None:
                progress((last - first) * self.stride)
        return self._scan_of(evidence)

    def _scan_of(self, evidence):
        total = np.cumsum(np.concatenate([[0.0], evidence]), dtype=np.float64)
        scores = (total[self.reach :] - total[: -self.reach]) / self.reach
        return Scan(scores.astype(np.float32), evidence, self.reach)

    def scan_arranged(
        self, strain: np.ndarray, arrangements: Iterable[Sequence[int | None]], progress: Callable | None = None
    ) -> Iterator[Scan]:
        """Score a stretch with its detectors slid against each other, or with some of them silent.

        What a matched filter makes of each detector alone is worked out once for many arrangements (`cutting.Cut`); where there is none,
        or a shift is no multiple of its stride, each is scanned by itself.

        Args:
            strain: Whitened float32 array (samples, detectors), at least one window long.
            arrangements: Of each scan, what to do to the detectors, see `background.arranged`.
            progress: Called with the number of samples done.

        Yields:
            Scan, in the order of the arrangements.
        """
        if self._members:
            scans = [
                member.scanner.scan_arranged(strain, arrangements, None if index else progress)
                for index, member in enumerate(self._members)
            ]
            windows = (len(strain) - self.window_samples) // self.stride + 1
            yield from (self._join(each, windows) for each in zip(*scans, strict=True))
            return
        for group in _groups(arrangements, ROWS * ROW_SAMPLES):
            whole = all(shift is None or shift % STRIDE == 0 for shifts in group for shift in shifts)
            if len(group) > 1 and whole and self._cut:
                yield from self._scan_group(strain, group, progress)
            else:
                yield from (self.scan(arranged(strain, shifts), progress) for shifts in group)

    @cached_property
    def _cut(self):
        """The network cut in two, None where it has no matched filter or its scan depends on where rows begin."""
        front = parts_of(self._model).front
        if not (self.slides and self.exact and front.templates):
            return None
        try:
            return Cut(self._network, fused=front.statistic_coherent)
        except ValueError:
            return None

    def _scan_group(self, strain, group, progress):
        count = (len(strain) - self.window_samples) // self.stride + self.reach
        most, step = ROWS * ROW_SAMPLES // self.stride, JOINED_SAMPLES // self.stride
        each = min(most, -(-count // -(-count // most) // step) * step)
        samples = each * self.stride + self.window_samples - self.reach * self.stride
        evidence = np.empty((len(group), count), np.float32)
        for first in range(0, count, each):
            last = min(count, first + each)
            columns = [
                self._own(number, strain[:, number], shifts, first * self.stride, samples)
                for number, shifts in enumerate(zip(*group, strict=True))
            ]
            for row, given in zip(evidence, zip(*columns, strict=True), strict=True):
                row[first:last] = self._cut.join(given)[: last - first]
                if progress is not None:
                    progress((last - first) * self.stride)
        yield from map(self._scan_of, evidence)

    def _own(self, detector, strain, shifts, start, samples):
        """Return for each shift what a detector gives in so many samples from `start` on: views of what is worked out once."""
        moved = [shift for shift in shifts if shift is not None]
        if moved:
            # What is pushed out at the end comes in at the beginning.
            taken = np.arange(start - max(moved), start + samples - min(moved))
            whole = self._cut.own(detector, np.take(strain, taken, mode="wrap"))
        silent = self._cut.own(detector, np.zeros(samples, np.float32)) if None in shifts else None
        given = []
        for shift in shifts:
            if shift is None:
                given.append(silent)
            else:
                first = max(moved) - shift
                given.append([array[:, first // STRIDE : (first + samples) // STRIDE] for array in whole])
        return given

    def _joined(self, strain, windows, progress):
        scans = [member.scanner.scan(strain, None if index else progress) for index, member in enumerate(self._members)]
        return self._join(scans, windows)

    def _join(self, scans, windows):
        """Join the scans of members: their scores by weight; of the evidence that of the first, which says where."""
        scores = sum(
            member.weight * scan.scores[member.skipped :][:windows]
            for member, scan in zip(self._members, scans, strict=True)
        )
        scores = (scores + self._bias).astype(np.float32)
        return Scan(scores, scores if self.positions > 1 else scans[0].evidence, scans[0].reach)


def _groups(arrangements, spread):
    """Cut a list of arrangements where the shifts of a detector are further apart than this."""
    groups = []
    for shifts in arrangements:
        joined = [*(groups[-1] if groups else []), shifts]
        moved = [[shift for shift in own if shift is not None] or [0] for own in zip(*joined, strict=True)]
        if groups and all(max(own) - min(own) <= spread for own in moved):
            groups[-1].append(shifts)
        else:
            groups.append([shifts])
    return groups


@dataclass(frozen=True)
class _Member:
    """A network of an ensemble.

    Attributes:
        scanner: Scanner of it.
        weight: Of its scores in the sum.
        skipped: How many of its scores in a window come before the first that all members have.
    """

    scanner: Scanner
    weight: float
    skipped: int


def _members_of(model, precision):
    """Return the members of an ensemble that can all be slid alike, and the bias of their sum; ([], 0.0): there are none."""
    joined = joined_by(model)
    if joined is None or not all(parts_of(network).slides for network in joined.networks):
        return [], 0.0
    members = [
        _Member(Scanner(network, precision), weight, skipped)
        for network, weight, skipped in zip(joined.networks, joined.weights, joined.skipped, strict=True)
    ]
    alike = {(member.scanner.stride, member.scanner.positions > 1) for member in members}
    # Logits of positions are joined position by position, or not at all.
    slides = len(alike) == 1 and (members[0].scanner.positions > 1) == joined.positions
    return (members, joined.bias) if slides else ([], 0.0)
