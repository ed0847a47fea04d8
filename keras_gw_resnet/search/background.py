"""What a search finds where there can be no signal: the strain of the detectors slid against each other in time.

Slides are far longer than light travels between detectors, so nothing that reaches two of them is coincident any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_gw_resnet.errors import InputError
from keras_gw_resnet.files import new_hdf5, written_aside
from keras_gw_resnet.hdf5 import attribute, open_hdf5, read, text
from keras_gw_resnet.strain.quality import inside

if TYPE_CHECKING:
    from keras_gw_resnet.search.detector import Detector
    from keras_gw_resnet.strain.stretches import WhitenedStretch

# Strain around a removed event that is removed with it, either side.
REMOVED_SECONDS = 1.0

PACKED = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
# Behind the sha256 of a network that is searched with tests of consistency which it was not saved with.
CONSISTENCY = "+consistency"


@dataclass(frozen=True)
class Background:
    """Events of strain without coincident signals.

    Attributes:
        stat: Ranking statistic, float64 array (n,).
        time: GPS time of each event in the strain of each detector, float64 array (n, detectors).
        seconds: How much strain was searched for them.
        slides: How many time slides were made, at most, of a stretch.
        alone: Statistic of each detector alone, float64 array (n, detectors); NaN: not known.
        light: As of `candidates.Candidates`, int8 array (n,).
    """

    stat: np.ndarray
    time: np.ndarray
    seconds: float
    slides: int = 0
    alone: np.ndarray = None
    light: np.ndarray = None

    def __post_init__(self):
        if self.light is None:
            object.__setattr__(self, "light", np.full(len(self.stat), -1, np.int8))
        if self.alone is None:
            object.__setattr__(self, "alone", np.full(self.time.shape, np.nan))

    def without(
        self, times: Sequence[float] | np.ndarray, searched_seconds: float, margin: float = REMOVED_SECONDS
    ) -> Background:
        """Return the background without the strain around events, those of any detector.

        Args:
            times: GPS seconds.
            searched_seconds: How much strain was searched without slides, more than none.
            margin: Seconds on either side that are taken out.
        """
        near = np.zeros(len(self.stat), bool)
        for time in times:
            near |= np.any(np.abs(self.time - time) <= margin, axis=1)
        share = 2 * margin * self.time.shape[1] * len(times) / searched_seconds
        kept = {name: getattr(self, name)[~near] for name in ("stat", "time", "alone", "light")}
        return replace(self, **kept, seconds=max(0.0, self.seconds * (1 - share)))


def join_backgrounds(parts: Sequence[Background], detectors: int) -> Background:
    """Join Backgrounds of the same detectors into one."""
    return Background(
        np.concatenate([np.empty(0), *(part.stat for part in parts)]),
        np.concatenate([np.empty((0, detectors)), *(part.time for part in parts)]),
        float(sum(part.seconds for part in parts)),
        max((part.slides for part in parts), default=0),
        np.concatenate([np.empty((0, detectors)), *(part.alone for part in parts)]),
        np.concatenate([np.empty(0, np.int8), *(part.light for part in parts)]),
    )


def slide_seconds(window_seconds: float) -> float:
    """Return the shift between neighbouring slides: whole seconds, a window and more."""
    return float(np.ceil(window_seconds) + 1)


def arranged(strain: np.ndarray, shifts: Sequence[int | None]) -> np.ndarray:
    """Slide the detectors of a stretch; what is pushed out at the end comes in at the beginning.

    Args:
        strain: Array (samples, detectors).
        shifts: Of each detector, in samples; None: it is silent, all zeros.
    """
    columns = [
        np.zeros_like(column) if shift is None else np.roll(column, shift)
        for column, shift in zip(strain.T, shifts, strict=True)
    ]
    return np.stack(columns).T


def slide_shifts(network: Detector, stretch: WhitenedStretch, slides: int) -> list[tuple[int, ...]]:
    """Return by how many samples each detector is moved in each slide, see `slid_background`."""
    rate, number = stretch.sample_rate, len(stretch.detectors)
    step = round(slide_seconds(network.window_samples / rate) * rate)
    shifts = [tuple(slide * step * own for own in range(number)) for slide in range(1, slides + 1)]
    return [own for own in shifts if own[-1] + step <= len(stretch.strain)]


def slid_background(
    network: Detector,
    stretch: WhitenedStretch,
    slides: int,
    threshold: float,
    vetoes: Sequence | np.ndarray = (),
    progress: Callable | None = None,
    alone: np.ndarray | None = None,
    scans: Iterable | None = None,
) -> Background:
    """Search a stretch again with the detectors slid against each other.

    Detector d is moved by slide * d * `slide_seconds`; what is pushed out at the end comes in at the beginning.

    Args:
        network: `search.detector.Detector`.
        stretch: WhitenedStretch.
        slides: How many; those are left out that would bring detectors together again.
        threshold: Lowest ranking statistic of an event.
        vetoes: Array (n, 2) of GPS starts and stops; strain of any detector in them is left out.
        progress: Called with the number of samples done.
        alone: What `Detector.alone` gives for the stretch; None: not known. It moves with the detector's strain.
        scans: Scan of each of `slide_shifts`; None: they are made here.

    Returns:
        Background.
    """
    length, rate, number = len(stretch.strain), stretch.sample_rate, len(stretch.detectors)
    every = slide_shifts(network, stretch, slides)
    if scans is None:
        scans = (network.scanner.scan(arranged(stretch.strain, shifts), progress) for shifts in every)
    parts = []
    for slide, (shifts, scan) in enumerate(zip(every, scans, strict=True), 1):
        seconds_moved = np.array(shifts) / rate

        def own_times(time, moved=seconds_moved):
            """Return for times since the beginning the GPS times at which each detector recorded its strain."""
            return stretch.gps_start + (np.asarray(time)[:, None] - moved) % (length / rate)

        at = rate * network.stride_seconds
        moved = {} if alone is None else {"alone": _moved(alone, seconds_moved / network.stride_seconds, length / at)}
        events = network.cluster(scan, 0.0, threshold, **moved)
        time = own_times(events.time)
        kept = ~np.any(inside(time, vetoes), axis=1)
        seconds = len(scan.scores) * network.stride_seconds
        if len(vetoes):
            seconds *= float(np.mean(~np.any(inside(own_times(network.times_of(scan)), vetoes), axis=1)))
        own = events.alone[kept] if moved else None
        parts.append(Background(events.stat[kept], time[kept], seconds, slide, own, events.light[kept]))  # ty: ignore[invalid-argument-type]
    return join_backgrounds(parts, number)


def _moved(alone, shifts, around):
    """Return what each detector alone gives in a slide; windows across the seam, which no scan held, take the last.

    Args:
        alone: Array (scores, detectors).
        shifts: Of each detector, in scores.
        around: Length of the stretch in scores.
    """
    scores = np.arange(len(alone))
    at = [np.minimum(np.round((scores - shift) % around).astype(int), len(alone) - 1) for shift in shifts]
    return np.stack([own[index] for own, index in zip(alone.T, at, strict=True)], axis=-1)


def write_background(background: Background, path: Path | str, detectors: Sequence[str], attributes: dict) -> None:
    """Write a background to HDF5: 1-D `stat`, `time_H1`, `stat_H1`, ..., `light`, with the root attribute `searched_seconds`.

    Statistics are float32, as networks give them; all is compressed, so that months of slides fit into a file.
    """
    columns = {"stat": background.stat.astype(np.float32)}
    columns |= {f"time_{name}": time for name, time in zip(detectors, background.time.T, strict=True)}
    if not np.all(np.isnan(background.alone)):
        own = background.alone.T.astype(np.float32)
        columns |= {f"stat_{name}": alone for name, alone in zip(detectors, own, strict=True)}
    if np.any(background.light >= 0):
        columns["light"] = background.light
    with written_aside(path) as aside, new_hdf5(aside) as file:
        file.attrs.update(attributes)
        file.attrs["searched_seconds"] = background.seconds
        for name, column in columns.items():
            file.create_dataset(name, data=column, **(PACKED if len(column) else {}))


def read_background(path: Path | str, card: dict, threshold: float, precision: str) -> Background:
    """Read a background: one that `write_background` wrote, or the events of a search of strain without signals.

    Args:
        path: HDF5 file.
        card: Card of the network that is to be compared with it.
        threshold: Lowest statistic of the events that are to be compared.
        precision: Of the arithmetic that they come from.

    Returns:
        Background; without detectors' own times each event has its one time.

    Raises:
        InputError: The file is missing or damaged, has no `searched_seconds`, or is of another network, of another
            precision or of louder events only.
    """
    expected = "a background from 'search --slides'"
    with open_hdf5(
        path,
        expected,
        f"cannot be read as a background; expected one from {expected.removeprefix('a background from ')}",
    ) as file:
        stat = read(file, "stat").astype(np.float64, casting="safe")
        names = [f"time_{name}" for name in card["detectors"]]
        times = [read(file, name) for name in (names if names[0] in file else ["time"])]
        known = {name: attribute(file, name) for name in ("searched_seconds", "model_sha256", "threshold", "precision")}
        seconds, sha256 = float(known["searched_seconds"]), text(known["model_sha256"])
        lowest, arithmetic = float(known["threshold"]), text(known["precision"])
        time = np.stack(times, axis=-1).astype(np.float64, casting="safe").reshape(*stat.shape, len(times))
        own = [f"stat_{name}" for name in card["detectors"]]
        alone = [read(file, name) if name in file else np.full(stat.shape, np.nan) for name in own]
        alone = np.stack(alone, axis=-1).astype(np.float64, casting="safe").reshape(*stat.shape, len(own))
        light = read(file, "light", shape=stat.shape, kinds="i") if "light" in file else None
    if sha256 != card["sha256"]:
        raise InputError(f"{path}: is the background of another network than {card['name']}; make one with --slides")
    if lowest > threshold or arithmetic != precision:
        raise InputError(
            f"{path}: was made with --threshold {lowest:g} --precision {arithmetic}; give these, or make another"
        )
    finite = stat.ndim == 1 and np.all(np.isfinite(stat)) and np.all(np.isfinite(time))
    if not (finite and np.isfinite(seconds) and seconds > 0):
        raise InputError(f"{path}: has {seconds:g} s of strain or statistics that are not finite; make another one")
    return Background(stat, time, seconds, alone=alone, light=light)  # ty: ignore[invalid-argument-type]
