"""Search strain files for events with saved networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_gw_resnet.errors import InputError
from keras_gw_resnet.progress import Bar
from keras_gw_resnet.search.background import join_backgrounds, slid_background, slide_shifts
from keras_gw_resnet.search.detector import THRESHOLD
from keras_gw_resnet.search.journal import Journal, forget
from keras_gw_resnet.search.results import Found, Snapshot, join_found
from keras_gw_resnet.strain.files import find_segments
from keras_gw_resnet.strain.gating import near_gates
from keras_gw_resnet.strain.intervals import coincident_intervals, have_common
from keras_gw_resnet.strain.quality import inside, valid_runs
from keras_gw_resnet.strain.stretches import Coverage, shortage, whitened_chunks

if TYPE_CHECKING:
    from keras_gw_resnet.search.candidates import Candidates
    from keras_gw_resnet.search.detector import Detector
    from keras_gw_resnet.strain.stretches import WhitenedStretch

SNAPSHOT_SECONDS = 8.0
# An event is said to be at gated strain when some of it is so near.
GATED_SECONDS = 0.5


def search(
    networks: Sequence[Detector],
    paths: Sequence[Path | str],
    *,
    threshold: float = THRESHOLD,
    quality: Sequence[str] = (),
    channels: Mapping[str, str] | Sequence[str] | None = None,
    vetoes: Sequence | np.ndarray = (),
    slides: int = 0,
    snapshots: int = 1,
    alone: bool = False,
    journal: Path | None = None,
    description: str = "search",
    without: np.ndarray | None = None,
    required: bool = True,
) -> list[Found]:
    """Whiten strain once, scan it with every network and cluster the scores.

    Reading and whitening go on while the networks are at work. At most two chunks of strain are in memory.

    Args:
        networks: List of `search.detector.Detector`.
        paths: Strain files, folders or patterns that hold all detectors of the networks.
        threshold: Lowest ranking statistic of an event.
        quality: Data-quality flags that the strain has to fulfil, see `find_segments`.
        channels: Which channels are the detectors' strain, see `find_segments`.
        vetoes: Array (n, 2) of GPS starts and stops; what happens in them is neither event nor searched time.
        slides: Time slides for the background.
        snapshots: How many of the loudest events to keep strain and scores of.
        alone: Whether to work out what each detector alone gives, which takes a scan more for each, or the second half of one.
        journal: Folder that remembers finished chunks, so that an interrupted search goes on; None: no such folder.
        description: What the progress bar says.
        without: Array (n, 2) of GPS starts and stops that are not searched; None: all is.
        required: Whether there has to be strain long enough; if not, what is found in none of it is given.

    Returns:
        List of Found, one a network.

    Raises:
        InputError: Networks that do not go together, strain that is missing, does not fit them or is too short.
    """
    first, window = networks[0], max(network.window_samples for network in networks)
    for other in networks[1:]:
        if (other.whitening, other.detectors) != (first.whitening, first.detectors):
            raise InputError(
                f"{first.name} and {other.name} take other detectors or another whitening; search with one at a time"
            )
    headers = find_segments(paths, quality, channels)
    without = np.empty((0, 2)) if without is None else without
    options = _Options(threshold, vetoes, slides, snapshots, alone and len(first.detectors) > 1, without)  # ty: ignore[invalid-argument-type]
    if not required and not have_common(headers, first.detectors):
        return [join_found([], len(first.detectors), snapshots) for _ in networks]
    kept = Journal(journal, _identity(networks, headers, quality, channels, options))
    parts = _search_chunks(networks, headers, window, options, kept, description)
    results = [join_found(own, len(first.detectors), snapshots) for own in zip(*parts, strict=True)]
    results = results or [join_found([], len(first.detectors), snapshots) for _ in networks]
    if required and not results[0].coverage.whitened:
        forget(journal)
        raise InputError(f"{', '.join(map(str, paths))}: {shortage(results[0].coverage, first.whitening, window)}")
    return results


def search_with_fewer(
    network: Detector, fewer: Detector, paths: Sequence[Path | str], *, journals: Sequence = (None, None), **options
) -> list[Found]:
    """Search with a network, and where a detector is absent with one that takes fewer: each second once.

    Args:
        network: `search.detector.Detector`.
        fewer: Another, of some of its detectors.
        paths: Strain files, folders or patterns.
        journals: Two folders that remember finished chunks, see `search`.
        **options: Of `search`.

    Returns:
        List of Found, that of `network` and that of `fewer`.

    Raises:
        InputError: As of `search`, where neither finds strain that is long enough.
    """
    (whole,) = search([network], paths, journal=journals[0], description=network.name, required=False, **options)
    rest: dict = {"without": whole.intervals, "required": not whole.coverage.whitened}
    (part,) = search([fewer], paths, journal=journals[1], description=fewer.name, **rest, **options)
    return [whole, part]


@dataclass(frozen=True)
class _Options:
    threshold: float
    vetoes: np.ndarray
    slides: int
    snapshots: int
    alone: bool
    without: np.ndarray


def _search_chunks(networks, headers, window, options, kept, description):
    """Return for every chunk the list of what each network found."""
    first, parts = networks[0], kept.finished()
    common = coincident_intervals(headers, first.detectors)
    given = {"window_samples": window, "done": frozenset(parts), "without": options.without}
    chunks = whitened_chunks(headers, first.detectors, first.whitening, **given)
    total = round(sum(interval.stop - interval.start for interval in common))
    with Bar(total=total, desc=description, unit="s") as bar:
        bar.update(round(sum(each[0].coverage.given for each in parts.values())))
        share = len(networks) * (1 + options.slides + options.alone * len(first.detectors)) * first.sample_rate
        for chunk in _ahead(chunks):
            last = max((gps_start for gps_start in parts if gps_start < chunk.gps_start), default=None)
            before = [None] * len(networks) if last is None else parts[last]
            each = [
                _search_chunk(network, chunk, options, lambda done: bar.update(done / share), found)
                for network, found in zip(networks, before, strict=True)
            ]
            kept.add(chunk.gps_start, each)
            parts[chunk.gps_start] = each
        bar.total = bar.n
    return [parts[gps_start] for gps_start in sorted(parts)]


def _identity(networks, headers, quality, channels, options):
    files = {path: Path(path).stat() for path in sorted({h.path for h in headers})}
    return {
        "networks": [
            [n.card["sha256"], n.card["timing"], n.precision, n.scanner.reach, n.whitening.gate] for n in networks
        ],
        "files": [[str(Path(path).resolve()), found.st_size, found.st_mtime_ns] for path, found in files.items()],
        "quality": list(quality),
        "datasets": sorted({f"{h.path}:{h.dataset}" for h in headers if channels}),
        **vars(options),
        "vetoes": np.asarray(options.vetoes).tolist(),
        "without": np.asarray(options.without).tolist(),
    }


def _ahead(iterator):
    """Yield what an iterator yields, the next of it already under way in a thread."""
    with ThreadPoolExecutor(1) as pool:
        upcoming = pool.submit(next, iterator, None)
        while (item := upcoming.result()) is not None:
            upcoming = pool.submit(next, iterator, None)
            yield item


def _search_chunk(network, chunk, options, progress, before):
    """Return what a network finds in a chunk; `before` is what it found in the one before, None: this is the first."""
    everywhere = before is not None and network.mostly_near(before)
    parts = [
        _search_stretch(network, stretch, options, progress, before is None and number == 0, everywhere)
        for number, stretch in enumerate(chunk.stretches)
    ]
    joined = join_found(parts, len(network.detectors), options.snapshots)
    joined.coverage.add(chunk.coverage)
    return replace(joined, gates=np.reshape(chunk.gates, (-1, 4)))


def _search_stretch(network, stretch, options, progress, compared, everywhere):
    together, muted = (0,) * len(network.detectors), network.muted() if options.alone else []
    # Beside what all give together, what each gives alone costs less than by itself, and more than near a few events.
    sparing = muted and not (options.slides or everywhere) and network.scanner.in_pieces
    arrangements = [together, *([] if sparing else muted), *slide_shifts(network, stretch, options.slides)]
    scans = network.scanner.scan_arranged(stretch.strain, arrangements, progress, options.threshold)
    scan, alone = next(scans), None
    if sparing:
        alone = network.alone(stretch.strain, progress, _wanted(network, stretch, scan, options))
    elif muted:
        alone = network.loudest_near([next(scans) for _ in muted])
    events = gated(network.cluster(scan, stretch.gps_start, options.threshold, alone), stretch)
    times, left_out = stretch.gps_start + network.times_of(scan), [*options.vetoes, *options.without]
    events = events.select(~inside(events.time, left_out))
    live, vetoed = ~inside(times, left_out), inside(times, options.vetoes) & ~inside(times, options.without)
    background = join_backgrounds([], len(network.detectors))
    if options.slides:
        given = (options.slides, options.threshold, left_out)
        background = slid_background(network, stretch, *given, alone=alone, scans=scans)
    loudest = events.loudest(options.snapshots)
    return Found(
        events,
        background,
        Coverage(),
        np.count_nonzero(live) * network.stride_seconds,
        np.count_nonzero(vetoed) * network.stride_seconds,
        [_snapshot(network, stretch, scan, alone, *event) for event in zip(loudest.time, loudest.stat, strict=True)],
        network.scanner.difference(stretch.strain, scan.scores, above=options.threshold) if compared else 0.0,
        _intervals(times, live, network.stride_seconds),
    )


def _intervals(times, live, step):
    """Return the GPS starts and stops, array (n, 2), of runs of times, a step apart, that are live."""
    runs = np.array(valid_runs(live), int).reshape(-1, 2)
    return np.stack([times[runs[:, 0]] - step / 2, times[runs[:, 1] - 1] + step / 2], axis=-1)


def _wanted(network, stretch, scan, options):
    """Say of which scores it is asked what each detector alone gives: those near events, and around the loudest."""
    events = network.cluster(scan, stretch.gps_start, options.threshold)
    reach = [(events.time, 0.0), (events.loudest(options.snapshots).time, SNAPSHOT_SECONDS / 2)]
    return np.logical_or(*(network.near(scan, time - stretch.gps_start, seconds) for time, seconds in reach))


def gated(events: Candidates, stretch: WhitenedStretch) -> Candidates:
    """Note at which events strain of a detector was gated: its window of a second holds some of it."""
    gates = stretch.gates
    if not any(len(own) for own in gates):
        return events
    return replace(events, gated=np.stack([near_gates(events.time, own, GATED_SECONDS) for own in gates], axis=-1))


def _snapshot(network, stretch, scan, alone, time, stat):
    rate, seconds = stretch.sample_rate, SNAPSHOT_SECONDS
    first = max(0, round((time - stretch.gps_start - seconds / 2) * rate))
    times = network.times_of(scan)
    near = np.abs(stretch.gps_start + times - time) <= seconds / 2
    scores = scan.scores[near]
    if network.scanner.in_pieces:  # of the scan only those near events are exact
        begin, end = (at * network.scanner.stride for at in np.flatnonzero(near)[[0, -1]])
        scores = network.scanner.scan(stretch.strain[begin : end + network.scanner.window_samples]).scores
    return Snapshot(
        float(time),
        float(stat),
        stretch.gps_start + first / rate,
        rate,
        stretch.strain[first : first + round(seconds * rate)].copy(),
        stretch.gps_start + times[near],
        scores,
        None if alone is None else alone[near],  # ty: ignore[invalid-argument-type]
        np.array([(column, *gate) for column, own in enumerate(stretch.gates) for gate in own], float).reshape(-1, 3),
    )
