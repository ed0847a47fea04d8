"""Slide a window classifier over strain of any length, every convolution computed once.

The features of a long stretch are those of its windows wherever the window's edges were not seen; a network built
with `crop_edges` averages only such features, so its scan equals window-by-window prediction to rounding. One that ends
in the log-sum-exp of logits at positions is ranked by those: each is the score of the shorter window that this position takes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.special

from keras_gw_resnet.backend import cores
from keras_gw_resnet.errors import InputError
from keras_gw_resnet.models.matched_filter import STRIDE
from keras_gw_resnet.search.background import arranged
from keras_gw_resnet.search.cores import on_all_cores
from keras_gw_resnet.search.lean import Lean
from keras_gw_resnet.search.plan import SavedNetwork, plan_of

if TYPE_CHECKING:
    import keras

# Long rows waste little at their ends; several at once keep all cores busy.
ROW_SAMPLES, ROWS = 32768, 4
# Of networks that score window by window: sixteen windows a second at 2048 Hz.
WINDOW_STRIDE = 128
# Lengths of what is joined at once are multiples of so many samples, so that few graphs are compiled.
JOINED_SAMPLES = 16384
# What is worked on at once in NumPy, by each core.
PIECE_SAMPLES = 49152
# Where there is one, Keras is asked, which may use it.
GRAPHICS_CARDS = ("/dev/nvidia0", "/dev/kfd")


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
        light: How much more likely a light binary is than a heavy one where the network ranks both, natural logarithms, float32 array
            (windows,); None: it does not, or was not slid in NumPy.
    """

    scores: np.ndarray
    evidence: np.ndarray
    reach: int
    light: np.ndarray | None = None


class Scanner:
    """A window classifier turned into a scanner.

    A network that ends in an average over time and a dense layer, or in the log-sum-exp of logits at positions, is slid over
    the strain, an ensemble of such member by member; any other scores window by window, which is slow, and exact by
    definition. One with a matched filter is slid in NumPy (`lean.Lean`), all others by Keras (`keras_scan`).

    Args:
        model: `keras.Model` (batch, window, detectors) -> (batch, 1), or a SavedNetwork.
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

    def __init__(self, model: keras.Model | SavedNetwork, precision: str = "float32", *, exact: bool = False) -> None:
        self._model: Any = model
        self._logits: Any = None
        self._network: Any = None
        self._lean: Lean | None = None
        self.window_shape, self.positions = model.input_shape[1:], 1
        if model.output_shape[-1] not in (1, 2):
            raise InputError(f"network {model.name} has {model.output_shape[-1]} outputs; a search needs one, or two")
        self._members, self._bias = _members_of(model, precision)
        if self._members and not (exact and not all(member.scanner.exact for member in self._members)):
            self._slide_members()
        else:
            self._members, self._parts = [], _parts_of(model)
            self._lean = _lean_of(model, self._parts) if precision == "float32" else None
            slides = self._parts.slides and (self._parts.exact or not exact)
            self._slide(precision) if slides else self._by_windows(precision)
        self.window_samples = self.window_shape[0] - (self.positions - 1) * self.stride

    def _slide_members(self):
        first = self._members[0].scanner
        self.stride, self.reach, self.slides = first.stride, first.reach, True
        self.exact = all(member.scanner.exact for member in self._members)
        self.positions = min(member.scanner.positions - member.skipped for member in self._members)

    def _slide(self, precision):
        parts, self.slides = self._parts, True
        self.stride, self.exact, self.reach = parts.field.stride, parts.exact, parts.features
        if parts.head != "average":
            self.reach, self.positions = 1, parts.positions
        if self._lean is None:
            from keras_gw_resnet.search import keras_scan

            self._network, self._score = keras_scan.sliding(self._model, parts, precision), self._slid

    def _by_windows(self, precision):
        from keras_gw_resnet.search import keras_scan

        self.stride, self.exact, self.slides, self.reach = min(WINDOW_STRIDE, self.window_shape[0]), True, False, 1
        self._network, self._score = keras_scan.by_windows(self._model, precision), self._each

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

    def difference(
        self, strain: np.ndarray, scores: np.ndarray, windows: int = 32, above: float | None = None
    ) -> float:
        """Return the largest difference between the scores of a scan and the network's own of those windows.

        Args:
            strain: What was scanned, (samples, detectors).
            scores: `Scan.scores` of it, of at least one of the classifier's windows.
            windows: How many to compare, the highest score and others evenly spread.
            above: Of `scan_arranged`: scores at or below it may be too high, and count only where they are too low.

        Returns:
            Of a network that ends in a sigmoid, of what goes into it.
        """
        pooled = np.lib.stride_tricks.sliding_window_view(scores, self.positions)
        highest = min(max(0, int(np.argmax(scores)) - self.positions // 2), len(pooled) - 1)
        chosen = np.unique(np.append(np.linspace(0, len(pooled) - 1, windows - 1).astype(int), highest))
        cut = np.stack([strain[i * self.stride : i * self.stride + self.window_shape[0]] for i in chosen])
        if isinstance(self._model, SavedNetwork):  # which has not been loaded in Keras
            own = np.array(list(on_all_cores(self._lean.score, cut)))
        else:
            own = self.score(cut)
        pooled = pooled[chosen]
        least = most = scipy.special.logsumexp(pooled, axis=1)
        if above is not None:
            # What is at or below may be far too high, beside what is above, too.
            least = scipy.special.logsumexp(np.where(pooled > above, pooled, -np.inf), axis=1)
        return float(np.max(np.maximum(own - most, least - own), initial=0.0))

    def score(self, windows: np.ndarray) -> np.ndarray:
        """Score windows with the network as it was trained, in batches.

        Args:
            windows: Whitened float32 array (n, window_samples, detectors).

        Returns:
            float32 array (n,): the logit, where the network ends in a sigmoid what goes into it.
        """
        # Where it starts Keras, loading comes first: it keeps the messages of the backend off stderr.
        loaded = self._model.load() if self._logits is None and isinstance(self._model, SavedNetwork) else self._model
        from keras_gw_resnet.search import keras_scan

        if self._logits is None:
            self._logits = keras_scan.logits_of(loaded)
        return keras_scan.score(self._logits, windows)

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
        if self._lean is not None:
            return next(self._scan_group(strain, [(0,) * strain.shape[1]], progress))
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

    @property
    def _known_by_class(self):
        return self._lean is not None and self._parts.front.statistic_light > 0

    def _scan_of(self, evidence, light=None):
        total = np.cumsum(np.concatenate([[0.0], evidence]), dtype=np.float64)
        scores = (total[self.reach :] - total[: -self.reach]) / self.reach
        return Scan(scores.astype(np.float32), evidence, self.reach, light)

    def scan_arranged(
        self,
        strain: np.ndarray,
        arrangements: Iterable[Sequence[int | None]],
        progress: Callable | None = None,
        above: float | None = None,
    ) -> Iterator[Scan]:
        """Score a stretch with its detectors slid against each other, or with some of them silent.

        What a matched filter makes of each detector alone is worked out once for many arrangements (`cutting.Cut`); where there is none,
        or a shift is no multiple of its stride, each is scanned by itself.

        Args:
            strain: Whitened float32 array (samples, detectors), at least one window long.
            arrangements: Of each scan, what to do to the detectors, see `background.arranged`.
            progress: Called with the number of samples done.
            above: Statistic that is of interest: scores below, and not near such as are above, may be too high, yet at or below it
                (see `lean.Lean.join`), up to half of the time is saved. None: all is exact.

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
            if whole and (self._lean or (len(group) > 1 and self._cut)):
                yield from self._scan_group(strain, group, progress, above)
            else:
                yield from (self.scan(arranged(strain, shifts), progress) for shifts in group)

    @property
    def in_pieces(self) -> bool:
        """Whether short pieces of strain are scanned as fast as long ones, to the same scores: in Keras each length is compiled anew."""
        return all(member.scanner.in_pieces for member in self._members) if self._members else self._lean is not None

    @cached_property
    def _cut(self):
        """The network in two parts, None where it has no matched filter or its scan depends on where rows begin."""
        if self._lean is not None or not (self.slides and self.exact and self._parts.front.templates):
            return self._lean
        from keras_gw_resnet.search import keras_scan

        return keras_scan.cut(self._network, fused=self._parts.front.statistic_coherent)

    def _scan_group(self, strain, group, progress, above=None):
        """Scan in pieces: what each detector gives in one is worked out once for a group of arrangements."""
        count = (len(strain) - self.window_samples) // self.stride + self.reach
        if self._lean is None:
            most, step, work = ROWS * ROW_SAMPLES // self.stride, JOINED_SAMPLES // self.stride, map
            each = min(most, -(-count // -(-count // most) // step) * step)
        else:
            # A piece of a detector that is slid is longer by all shifts; so those are to be a part of it.
            most, work = max(PIECE_SAMPLES, *map(_spread, zip(*group, strict=True))) // self.stride, on_all_cores
            each = -(-count // max(-(-count // most), cores()))
        samples = each * self.stride + self.window_samples - self.reach * self.stride

        bounded = above is not None
        # Of one detector the best of phases is what any are.
        limits = [math.inf if bounded and shifts.count(None) == len(shifts) - 1 else above for shifts in group]

        def evidence_from(first):
            columns = [
                self._own(number, strain[:, number], shifts, first * self.stride, samples, bounded)
                for number, shifts in enumerate(zip(*group, strict=True))
            ]
            return [
                np.atleast_2d(self._cut.join(given, limit))[:, : count - first]
                for limit, given in zip(limits, zip(*columns, strict=True), strict=True)
            ]

        evidence = np.empty((len(group), 1 + self._known_by_class, count), np.float32)
        pieces = range(0, count, each)
        for first, found in zip(pieces, work(evidence_from, pieces), strict=True):
            evidence[:, :, first : first + each] = found
            if progress is not None:
                progress(len(group) * found[0].shape[1] * self.stride)
        yield from (self._scan_of(*own) for own in evidence)

    def _own(self, detector, strain, shifts, start, samples, bounded):
        """Return for each shift what a detector gives in so many samples from `start` on: views of what is worked out once."""
        moved = [shift for shift in shifts if shift is not None]
        if moved:
            # What is pushed out at the end comes in at the beginning.
            taken = np.arange(start - max(moved), start + samples - min(moved))
            whole = self._cut.own(detector, np.take(strain, taken, mode="wrap"), bounded=bounded)
        silent = self._cut.silent(detector, samples // STRIDE, bounded=bounded) if None in shifts else None
        given = []
        for shift in shifts:
            if shift is None:
                given.append(silent)
            else:
                first = max(moved) - shift
                given.append([array[first // STRIDE : (first + samples) // STRIDE] for array in whole])
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
        if groups and all(_spread(own) <= spread for own in zip(*joined, strict=True)):
            groups[-1].append(shifts)
        else:
            groups.append([shifts])
    return groups


def _spread(shifts):
    """Return by how much the shifts of a detector differ at most."""
    moved = [shift for shift in shifts if shift is not None] or [0]
    return max(moved) - min(moved)


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


def _parts_of(model):
    if isinstance(model, SavedNetwork):
        return model.parts
    from keras_gw_resnet.models.graph import parts_of

    return parts_of(model)


def _lean_of(model, parts):
    """Return a Lean; None of a network that is for Keras."""
    if isinstance(model, SavedNetwork):
        return model.lean
    plan = None if has_graphics_card() else plan_of(model)
    return plan and Lean.of(plan, parts, model.input_shape[-1])


def has_graphics_card() -> bool:
    """Say whether there is a card that Keras may use."""
    return any(Path(card).exists() for card in GRAPHICS_CARDS)


def _members_of(model, precision):
    """Return the members of an ensemble that can all be slid alike, and the bias of their sum; ([], 0.0): there are none."""
    if isinstance(model, SavedNetwork):
        return [], 0.0
    from keras_gw_resnet.models.graph import joined_by

    joined = joined_by(model)
    if joined is None or not all(_parts_of(network).slides for network in joined.networks):
        return [], 0.0
    members = [
        _Member(Scanner(network, precision), weight, skipped)
        for network, weight, skipped in zip(joined.networks, joined.weights, joined.skipped, strict=True)
    ]
    alike = {(member.scanner.stride, member.scanner.positions > 1) for member in members}
    # Logits of positions are joined position by position, or not at all.
    slides = len(alike) == 1 and (members[0].scanner.positions > 1) == joined.positions
    return (members, joined.bias) if slides else ([], 0.0)
