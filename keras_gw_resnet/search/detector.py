"""A saved network made ready to search: the Python interface of the project."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.ndimage

from keras_gw_resnet.archives import check_archive
from keras_gw_resnet.backend import load_keras
from keras_gw_resnet.errors import InputError
from keras_gw_resnet.models.parts import Parts
from keras_gw_resnet.models.weights import find_model_file, require_sha256
from keras_gw_resnet.search.background import CONSISTENCY
from keras_gw_resnet.search.candidates import detector_columns, find_events, join
from keras_gw_resnet.search.events import Events
from keras_gw_resnet.search.lean import Lean
from keras_gw_resnet.search.plan import SavedNetwork, plan_in
from keras_gw_resnet.search.results import describing_columns
from keras_gw_resnet.search.scan import Scanner, has_graphics_card
from keras_gw_resnet.strain.conditioning import Whitening
from keras_gw_resnet.strain.files import SegmentHeader, find_segments
from keras_gw_resnet.strain.objects import headers_in_memory, is_in_memory
from keras_gw_resnet.strain.quality import inside, valid_runs
from keras_gw_resnet.strain.stretches import Coverage, WhitenedStretch, shortage, whitened_stretches
from keras_gw_resnet.zoo import load_card, load_model

if TYPE_CHECKING:
    import keras

    from keras_gw_resnet.search.candidates import Candidates
    from keras_gw_resnet.search.explain import Explanation
    from keras_gw_resnet.search.results import Found
    from keras_gw_resnet.search.scan import Scan

# Statistic below which a scan's highest places are not worth listing: odds of noise to signal of about fifty.
THRESHOLD = -4.0
# Share of the scores up to which it takes less time to scan the strain around each by itself than all of it.
PIECEMEAL = 0.3
# A detector alone is loudest within so many seconds of where all of them together are.
ALONE_SECONDS = 0.1


def _with_consistency(model, card, path):
    """Build a saved network again with tests of consistency in its matched filter; its card says that it is another network."""
    from keras_gw_resnet.models.graph import parts_of
    from keras_gw_resnet.models.registry import build_model

    if not parts_of(model).front.templates:
        raise InputError(f"--consistency: {card['name']} has no matched filter of its own; leave it out")
    options = {**card["options"], "consistency": True, "input_shape": model.input_shape[1:], "weights": path}
    return build_model(card["model"], **options), {**card, "sha256": card["sha256"] + CONSISTENCY}


def without_keras(name_or_path: Path | str, load: Callable, *, consistency: bool) -> tuple[SavedNetwork, dict] | None:
    """Read a saved network that is scanned without Keras, which takes seconds to start; None: it takes Keras.

    Args:
        name_or_path: See `Detector.load`.
        load: Returns (`keras.Model`, card).
        consistency: See `Detector.load`.
    """
    path, card = find_model_file(name_or_path), load_card(name_or_path)
    if not card.get("parts") or has_graphics_card():
        return None
    require_sha256(path, card["sha256"])
    check_archive(path)
    parts, detectors = Parts.from_dict(card["parts"]), len(card["detectors"])
    if not parts.front.templates:
        return None
    if consistency and not parts.front.consistency:
        parts = replace(parts, front=replace(parts.front, consistency=True))
        card = {**card, "sha256": card["sha256"] + CONSISTENCY}
    plan = plan_in(path)
    lean = Lean.of(plan, parts, detectors) if plan else None
    if lean is None:
        return None
    shapes = (None, card["window_samples"], detectors), (None, 1)
    return SavedNetwork(card["model"], *shapes, parts, lean, lambda: load()[0]), card


class Detector:
    """A network with its card, ready to score windows, scan strain and find events.

    Args:
        model: `keras.Model`, a window classifier.
        card: Its card, as from `load_model`; None with `like`.
        precision: "float32", or "bfloat16" for the scan's arithmetic.
        exact: Whether a network whose scan is approximate is to score window by window instead, which is slow.
        gate: Limit of the gate in standard deviations, see `Whitening`; None: that of the card.
        like: In place of a card, the saved network whose whitened strain it takes; timing and statistic are calibrated
            anew, which takes a minute (see `adoption.adopted_card`).

    Attributes:
        name, detectors, window_samples, sample_rate, whitening: What the card says.
        exact: Whether a scan equals prediction window by window, by the network's construction and in its precision.
        stride_seconds: From one score of a scan to the next.
    """

    def __init__(
        self,
        model: keras.Model | SavedNetwork,
        card: dict | None = None,
        precision: str = "float32",
        *,
        exact: bool = False,
        gate: float | None = None,
        like: str | None = None,
    ) -> None:
        if (card is None) == (like is None):
            raise InputError("a Detector takes a network with its card, or with like=, the name of a saved network")
        if card is None:
            # With PyCBC, which a search does not need.
            from keras_gw_resnet.search.adoption import adopted_card, as_functional

            model = as_functional(model)  # ty: ignore[invalid-argument-type]
            card = adopted_card(model, like)  # ty: ignore[invalid-argument-type]
        self._model, self.card, self.precision = model, card, precision
        self.name, self.detectors = card["name"], tuple(card["detectors"])
        self.window_samples, self.sample_rate = card["window_samples"], card["sample_rate"]
        self.whitening = Whitening(**card["whitening"] | ({} if gate is None else {"gate": gate}))
        self.scanner = Scanner(model, precision, exact=exact)
        self.exact = self.scanner.exact and precision == "float32"
        self.stride_seconds = self.scanner.stride / self.sample_rate

    @property
    def model(self) -> keras.Model:
        """The `keras.Model`."""
        if isinstance(self._model, SavedNetwork):
            self._model = self._model.load()
        return self._model

    @classmethod
    def load(
        cls,
        name_or_path: Path | str,
        precision: str = "float32",
        *,
        exact: bool = False,
        gate: float | None = None,
        consistency: bool = False,
    ) -> Detector:
        """Load a saved network by its name in saved_models, its folder, or its model.keras; see `Detector`.

        With `consistency` its matched filter tests how well the strain fits each template, whatever it was trained with, so that most
        glitches count for little (see `models.matched_filter.Filtered.consistent`). The figures of its card are those without.

        Raises:
            InputError: There is none, or it is damaged, or has no matched filter to be tested.
        """

        def load():
            load_keras()
            from keras_gw_resnet.models.graph import parts_of

            model, card = load_model(name_or_path)
            if consistency and not parts_of(model).front.consistency:
                return _with_consistency(model, card, find_model_file(name_or_path))
            return model, card

        lean = without_keras(name_or_path, load, consistency=consistency) if precision == "float32" else None
        model, card = lean or load()
        return cls(model, card, precision, exact=exact, gate=gate)

    def remark(self, difference: float) -> str | None:
        """Say what is special about this network's scan, None for nothing.

        Args:
            difference: Measured between the scan and prediction window by window.
        """
        if not self.exact:
            what = "approximate" if self.precision == "float32" else f"made in {self.precision}"
            return f"the scan of {self.name} is {what}; it differs from window by window by up to {difference:.2g}"
        if not self.scanner.slides:
            return f"{self.name} is scored window by window, every {self.stride_seconds:.3g} s, which is slow"
        return None

    def score(self, windows: np.ndarray) -> np.ndarray:
        """Score whitened windows.

        Args:
            windows: Array (n, window_samples, detectors), whitened as `preprocess_input` does.

        Returns:
            float32 array (n,): the network's logit, larger is more signal-like.

        Raises:
            InputError: Windows of another shape.
        """
        windows = np.asarray(windows, np.float32)
        if windows.ndim != 3 or windows.shape[1:] != self.scanner.window_shape:
            raise InputError(
                f"windows of shape {windows.shape}; {self.name} takes (n, {self.window_samples}, {len(self.detectors)})"
            )
        return self.scanner.score(windows)

    def segments(
        self,
        strain: Any,
        quality: Sequence[str] = (),
        channels: Mapping[str, str] | Sequence[str] | None = None,
        *,
        sample_rate: Any = None,
        gps_start: Any = None,
    ) -> list[SegmentHeader]:
        """List the segments of strain in files, folders or patterns, or in memory; see `strain.files.find_segments`.

        An array (samples, detectors) has the network's detectors in its columns.
        """
        if is_in_memory(strain) and not isinstance(strain, Mapping):
            headers = headers_in_memory(strain, sample_rate, gps_start, self.detectors)
            return sorted(headers, key=lambda header: (header.detector, header.gps_start))
        return find_segments(strain, quality, channels, sample_rate=sample_rate, gps_start=gps_start)

    def stretches(
        self,
        segments: Any,
        channels: Mapping[str, str] | Sequence[str] | None = None,
        *,
        sample_rate: Any = None,
        gps_start: Any = None,
        coverage: Coverage | None = None,
    ) -> Iterator[WhitenedStretch]:
        """Whiten strain.

        What not all detectors have is cut off, also where they begin at other times.

        Args:
            segments: Paths, or strain in memory (a dictionary from detector to gwpy or PyCBC TimeSeries or to arrays, or an array
                (samples, detectors)), or what `segments` returned, or WhitenedStretch that are passed on as they are.
            channels: Of paths, which channels are the detectors' strain, see `strain.files.find_segments`.
            sample_rate, gps_start: Of arrays, samples per second and GPS seconds of the first sample.
            coverage: What became of the strain is added to it.

        Yields:
            WhitenedStretch in order of time.

        Raises:
            InputError: No strain, or none that is long enough, or objects that are none.
        """
        headers = self._given(segments, channels, sample_rate, gps_start)
        if isinstance(headers[0], WhitenedStretch):
            yield from headers
            return
        own, window = Coverage(), self.window_samples
        yield from whitened_stretches(headers, self.detectors, self.whitening, window_samples=window, coverage=own)
        if not own.whitened:
            raise InputError(shortage(own, self.whitening, window))
        if coverage is not None:
            coverage.add(own)

    def _given(self, segments, channels, sample_rate, gps_start):
        """Return what was given as a list of WhitenedStretch or of SegmentHeader."""
        if not is_in_memory(segments) and hasattr(segments, "__iter__") and not isinstance(segments, str):
            segments = list(segments)
            if not segments:
                raise InputError("no strain given; expected files, series, segments or whitened stretches")
            if any(all(isinstance(one, kind) for one in segments) for kind in (WhitenedStretch, SegmentHeader)):
                return segments
        return self.segments(segments, channels=channels, sample_rate=sample_rate, gps_start=gps_start)

    def scan(
        self, segments: Any, channels: Mapping[str, str] | Sequence[str] | None = None, **given
    ) -> Iterator[tuple[WhitenedStretch, Scan]]:
        """Slide the network over strain.

        Args:
            segments, channels: See `stretches`.
            **given: See `stretches`: sample_rate and gps_start of arrays, coverage.

        Yields:
            Tuple (WhitenedStretch, Scan): score i of the scan belongs to the window, of `scanner.window_samples`, that
            begins i * `stride_seconds` after the stretch.
        """
        for stretch in self.stretches(segments, channels, **given):
            yield stretch, self.scanner.scan(stretch.strain)

    def times_of(self, scan: Scan) -> np.ndarray:
        """Return what time each score of a Scan tells of, seconds after its first sample.

        The coalescence that it is the evidence for, or, of windows of several values of evidence, their middle.
        """
        middle = self.scanner.window_samples / 2 / self.sample_rate
        told = (
            self.card["timing"]["merger_seconds"] if scan.reach == 1 and self.card["timing"].get("signals") else middle
        )
        return np.arange(len(scan.scores)) * self.stride_seconds + told

    def alone(
        self, strain: np.ndarray, progress: Callable | None = None, wanted: np.ndarray | None = None
    ) -> np.ndarray:
        """Score strain with one detector at a time, that of the others replaced by zeros.

        Args:
            strain: Whitened float32 array (samples, detectors).
            progress: Called with the number of samples done.
            wanted: Of which scores it is asked, boolean array (scores,); None: of all.

        Returns:
            float32 array (scores, detectors): for each score of a scan the highest within `ALONE_SECONDS` of it; NaN: not asked.
        """
        if wanted is not None and np.mean(wanted) > PIECEMEAL:
            return np.where(wanted[:, None], self.alone(strain, progress), np.float32(np.nan))
        if wanted is None:
            # Of one detector the best of phases is what any are.
            return self.loudest_near(list(self.scanner.scan_arranged(strain, self.muted(), progress, math.inf)))
        found = np.full((len(wanted), len(self.detectors)), np.nan, np.float32)
        width, stride = round(ALONE_SECONDS / self.stride_seconds), self.scanner.stride
        for first, last in valid_runs(wanted):
            begin, end = max(0, first - width), min(last + width, len(wanted))
            part = strain[begin * stride : (end - 1) * stride + self.scanner.window_samples]
            found[first:last] = self.alone(part, progress)[first - begin : last - begin]
        return found

    def near(self, scan: Scan, times: np.ndarray, seconds: float = 0.0) -> np.ndarray:
        """Say which scores of a Scan tell of what is so many seconds and a window from some times, in seconds after its first sample."""
        reach = seconds + self.window_samples / self.sample_rate
        return inside(self.times_of(scan), np.stack([times - reach, times + reach], axis=-1))

    def mostly_near(self, found: Found) -> bool:
        """Say whether most of what a search found is near an event, so that `alone` does best to take all of it."""
        reach = 2 * self.window_samples / self.sample_rate
        return reach * len(found.events) > PIECEMEAL * found.searched_seconds

    def muted(self) -> list[tuple[int | None, ...]]:
        """Return the arrangements of `Scanner.scan_arranged` in which one detector speaks and the others are silent."""
        numbers = range(len(self.detectors))
        return [tuple(0 if number == own else None for number in numbers) for own in numbers]

    def loudest_near(self, scans: Sequence[Scan]) -> np.ndarray:
        """Return the highest score within `ALONE_SECONDS` of each, array (scores, scans)."""
        width = 2 * round(ALONE_SECONDS / self.stride_seconds) + 1
        return np.stack([scipy.ndimage.maximum_filter1d(scan.scores, width) for scan in scans], axis=-1)

    def cluster(
        self, scan: Scan, gps_start: float, threshold: float = THRESHOLD, alone: np.ndarray | None = None
    ) -> Candidates:
        """Cluster the scores of one Scan, of strain that begins at a GPS time, into Candidates.

        `alone` is what `Detector.alone` gives for the same strain, None for not known.
        """
        if not np.all(np.isfinite(scan.scores)):
            raise InputError(f"GPS {gps_start:.0f}: the network's statistic is not finite; it cannot rank events")
        timing = self.card["timing"]
        return find_events(
            scan,
            gps_start,
            self.stride_seconds,
            merger_seconds=timing["merger_seconds"],
            tolerance_seconds=timing["tolerance_seconds"],
            threshold=threshold,
            alone=alone,
        )

    def events(
        self,
        segments: Any,
        threshold: float = THRESHOLD,
        channels: Mapping[str, str] | Sequence[str] | None = None,
        *,
        sample_rate: Any = None,
        gps_start: Any = None,
    ) -> Events:
        """Search strain.

        Args:
            segments, channels, sample_rate, gps_start: See `stretches`.
            threshold: Lowest ranking statistic of an event.

        Returns:
            Events in order of time, which say how much of the strain was searched, and which convert to tables of pandas, gwpy,
            astropy and LIGO-LW.
        """
        coverage, given = Coverage(), self._given(segments, channels, sample_rate, gps_start)
        stretches = self.stretches(given, coverage=coverage)
        candidates = join([self._found_in(stretch, threshold) for stretch in stretches])
        known: dict = {"described": detector_columns(candidates, self.detectors)}
        if isinstance(given[0], SegmentHeader):
            known = {"coverage": coverage, "described": describing_columns(candidates, self.detectors, given)}
        return Events.of(candidates, detectors=self.detectors, network=self.name, **known)

    def _found_in(self, stretch, threshold):
        """Return the Candidates of one stretch, with what each detector gives alone where there are several."""
        together = [(0,) * len(self.detectors)]
        scan = next(self.scanner.scan_arranged(stretch.strain, together, above=threshold))
        events = self.cluster(scan, stretch.gps_start, threshold)
        if len(self.detectors) == 1:
            return events
        wanted = self.near(scan, events.time - stretch.gps_start)
        return self.cluster(scan, stretch.gps_start, threshold, self.alone(stretch.strain, wanted=wanted))

    def explain(
        self,
        segments: Any,
        time: float,
        channels: Mapping[str, str] | Sequence[str] | None = None,
        *,
        sample_rate: Any = None,
        gps_start: Any = None,
    ) -> Explanation:
        """Say what makes the statistic of an event: detectors, matched filter and stack, and strain over time and frequency.

        Args:
            segments, channels, sample_rate, gps_start: See `stretches`; what is minutes away is not read.
            time: GPS seconds; the loudest score within half a second is explained.

        Returns:
            Explanation; `evaluation.explanation_plots.draw_explanation` draws it.

        Raises:
            InputError: The strain holds no window that tells of that time.
        """
        load_keras()
        from keras_gw_resnet.search.explain import explain_at

        return explain_at(self, self._given(segments, channels, sample_rate, gps_start), time)
