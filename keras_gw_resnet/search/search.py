"""Search strain files for events with a saved network."""

from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from keras_gw_resnet.errors import InputError
from keras_gw_resnet.search.events import Events, find_events, join
from keras_gw_resnet.search.scan import Scanner
from keras_gw_resnet.strain.conditioning import Whitening
from keras_gw_resnet.strain.files import find_segments
from keras_gw_resnet.strain.stretches import Coverage, WhitenedStretch, coincident_spans, shortage, whitened_stretches


@dataclass(frozen=True)
class Snapshot:
    """Strain and scores around the loudest event.

    Attributes:
        stretch: WhitenedStretch, a few seconds.
        score_time: GPS time of the middle of each score's window.
        scores: The network's statistic.
    """

    stretch: WhitenedStretch
    score_time: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True)
class SearchResult:
    """Events, how much strain was searched, and the surroundings of the loudest event (None without events)."""

    events: Events
    coverage: Coverage
    searched_seconds: float
    snapshot: Snapshot | None
    exact: bool
    stride_seconds: float


def search(model, card, paths, *, threshold, quality=(), snapshot_seconds=8.0):
    """Whiten strain, scan it and cluster the scores.

    Args:
        model: `keras.Model` of a saved network.
        card: Its card.
        paths: Strain files, folders or patterns that hold all detectors of the card.
        threshold: Lowest ranking statistic of an event.
        quality: Data-quality flags that the strain has to fulfil, see `find_segments`.
        snapshot_seconds: How much strain to keep around the loudest event.

    Returns:
        SearchResult.

    Raises:
        InputError: Strain that is missing or does not fit the network, or is shorter than one window.
    """
    whitening, detectors = Whitening(**card["whitening"]), tuple(card["detectors"])
    window, rate = card["window_samples"], card["sample_rate"]
    headers = find_segments(paths, quality)
    scanner = Scanner(model)
    stride_seconds, timing = scanner.stride / rate, card["timing"]
    coverage, found, snapshot, searched = Coverage(), [], None, 0.0
    total = sum(span.stop - span.start for span in coincident_spans(headers, detectors))
    with tqdm(total=round(total), desc="search", unit="s", disable=None, dynamic_ncols=True) as bar:
        for stretch in whitened_stretches(headers, detectors, whitening, window_samples=window, coverage=coverage):
            scan = scanner.scan(stretch.strain, progress=lambda samples: bar.update(samples / rate))
            if not np.all(np.isfinite(scan.scores)):
                raise InputError(
                    f"GPS {stretch.gps_start:.0f}: the network's statistic is not finite; it cannot rank events"
                )
            events = find_events(
                scan,
                stretch.gps_start,
                stride_seconds,
                merger_seconds=timing["merger_seconds"],
                tolerance_seconds=timing["tolerance_seconds"],
                threshold=threshold,
            )
            searched += len(scan.scores) * stride_seconds
            if len(events) and (snapshot is None or events.stat.max() > snapshot.scores.max()):
                snapshot = _snapshot(stretch, scan, events, scanner, snapshot_seconds)
            found.append(events)
        bar.total = bar.n
    if not found:
        raise InputError(f"{', '.join(map(str, paths))}: {shortage(coverage, whitening, window)}")
    return SearchResult(join(found), coverage, searched, snapshot, scanner.exact, stride_seconds)


def _snapshot(stretch, scan, events, scanner, seconds):
    centre, rate = events.loudest(1).time[0], stretch.sample_rate
    first = max(0, round((centre - stretch.gps_start - seconds / 2) * rate))
    strain = stretch.strain[first : first + round(seconds * rate)]
    part = WhitenedStretch(stretch.gps_start + first / rate, rate, stretch.detectors, strain.copy(), stretch.filters)
    middle = stretch.gps_start + (np.arange(len(scan.scores)) * scanner.stride + scanner.window_samples / 2) / rate
    near = np.abs(middle - centre) <= seconds / 2
    return Snapshot(part, middle[near], scan.scores[near])
