"""Search strain as it arrives, file by file, without end.

New strain is whitened with the spectrum of the strain before it and scanned together with the end of what was scanned, so that every event
is seen whole. It is told when no louder one can follow within a cluster, and once. What slides of the last hours give is its background.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_gw_resnet.errors import InputError
from keras_gw_resnet.search.background import slid_background, slide_shifts
from keras_gw_resnet.search.candidates import CLUSTER_SECONDS
from keras_gw_resnet.search.detector import THRESHOLD
from keras_gw_resnet.search.search import gated
from keras_gw_resnet.search.told import Block, Told, described
from keras_gw_resnet.strain.arrivals import Arrivals, cut, samples_in
from keras_gw_resnet.strain.intervals import JOIN_TOLERANCE, coincident_intervals
from keras_gw_resnet.strain.quality import inside
from keras_gw_resnet.strain.stretches import whitened_stretches

if TYPE_CHECKING:
    from keras_gw_resnet.search.detector import Detector
    from keras_gw_resnet.strain.stretches import WhitenedStretch

# Strain before the newest that is kept, for its spectrum, and new strain that is searched at once.
CONTEXT_SECONDS, STEP_SECONDS = 128.0, 64.0
# Lengths that are scanned, so that few graphs are compiled; those of files of seconds, and of what was there before.
SCANNED_SECONDS = (8, 16, 96)
# Strain that is slid at once, how many such may wait, and how long what it gives counts.
BLOCK_SECONDS, WAITING, HOURS = 64.0, 16, 6.0
SLIDES = 10
# Where strain is missing and later strain is there, what is missing may still come for so long.
PATIENCE_SECONDS = 4.0
# A detector may lag behind the others by so much.
LACKING_SECONDS = 600.0
POLL_SECONDS = 0.2


class Follower:
    """A search that goes on with every file that arrives.

    Args:
        network: Detector.
        arrivals: Arrivals of its detectors.
        told: Told, with what was told before.
        threshold: Lowest ranking statistic of an event that is told; the background holds those from `THRESHOLD` on.
        slides: Time slides of each block for the background; 0: none.
        vetoes: Array (n, 2) of GPS starts and stops; what happens in them is not told.
        say: Called with one line about strain that cannot be searched.
        clock: Seconds that have gone by.

    Attributes:
        files: How many files have given strain.
    """

    def __init__(
        self,
        network: Detector,
        arrivals: Arrivals,
        told: Told,
        *,
        threshold: float = THRESHOLD,
        slides: int = SLIDES,
        vetoes: Sequence | np.ndarray = (),
        say: Callable[[str], object] = print,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._network, self._arrivals, self._told = network, arrivals, told
        self._threshold, self._slides, self._vetoes = threshold, slides, vetoes
        self._say, self._clock, self.files = say, clock, 0
        # Up to where strain was whitened, and events told; from where on it was not slid.
        self._read_to = self._told_to = told.searched_to
        self._block_from = told.slid_to
        self._blocks: list[WhitenedStretch] = []
        self._sliding: Iterator[None] = iter(())
        self._gap: tuple[float, float] | None = None
        self._lacking: list[str] = []
        self._lookback = network.scanner.window_samples / network.sample_rate + 2 * CLUSTER_SECONDS + 1
        if self._told_to is not None:
            arrivals.since = self._told_to - CONTEXT_SECONDS - self._lookback

    @property
    def searched_to(self) -> float | None:
        """GPS second up to which all events are told."""
        return self._told_to

    def poll(self) -> Iterator[dict]:
        """Look at the folder once, search what is new and make one time slide; yield each event, a dictionary, when it is kept."""
        self.files += self._arrivals.look()
        while (interval := self._next()) is not None:
            begin, end, newest = interval
            try:
                stretches = list(self._whiten(end))
            except InputError as error:
                self._say(f"{error}; GPS {begin:.16g} to {end:.16g} is left out")
                self._arrivals.leave_out(begin, end)
                stretches, newest = [], False
            fresh = [stretch for stretch in stretches if stretch.gps_stop > _or_ever(self._told_to)]
            if not fresh and newest:
                return  # too short for a spectrum or a window, until more comes
            for stretch in fresh:
                yield from self._search(stretch, end)
            self._read_to = end
            self._told.keep(self._told_to)
            for stretch in fresh if self._slides else ():
                self._take_blocks(stretch)
            # What is missing before may still come, until strain behind it has been searched.
            self._arrivals.searched = end
            self._arrivals.forget(end - CONTEXT_SECONDS - self._lookback)
        self._let_go()
        if next(self._sliding, self) is self and self._blocks:
            self._sliding = self._slide(self._blocks.pop(0))

    def _let_go(self):
        """Let go of strain for which another detector has had none for too long."""
        stops = {name: self._arrivals.last(name, 0.0) for name in self._network.detectors}
        # By what is held: one file of another time leaves nothing out.
        limit = max(self._arrivals.last(name, LACKING_SECONDS) for name in stops)
        lacking = [name for name, stop in stops.items() if stop < limit]
        held = min((header.gps_start for header in self._arrivals.headers), default=limit)
        if lacking and held < limit:
            if lacking != self._lacking:
                self._say(
                    f"no strain of {' and '.join(lacking)} for {LACKING_SECONDS:g} s; what the others have is left out"
                )
            self._arrivals.forget(limit)
        if lacking != self._lacking and (not lacking or held < limit):
            self._lacking = lacking

    def warm_up(self) -> None:
        """Compile what files of seconds need, which takes some seconds, before they come."""
        network = self._network
        for seconds in SCANNED_SECONDS[:-1]:
            self._scan(np.zeros((round(seconds * network.sample_rate), len(network.detectors)), np.float32))

    def _next(self):
        """Return (start, stop, whether more may follow) of the new strain to be searched next; None: there is none, or it has to wait."""
        headers = self._arrivals.headers
        if not all(any(h.detector == name for h in headers) for name in self._network.detectors):
            return None
        try:
            common = coincident_intervals(headers, self._network.detectors)
        except InputError:  # no time in common yet
            return None
        tolerance = JOIN_TOLERANCE / self._network.sample_rate
        read_to = _or_ever(self._read_to)
        new = [interval for interval in common if interval.stop > read_to + tolerance]
        if not new:
            return None
        first = new[0]
        if np.isfinite(read_to) and first.start > read_to + tolerance:
            if self._gap is None or self._gap[0] != first.start:
                self._gap = first.start, self._clock()
            if self._clock() - self._gap[1] < PATIENCE_SECONDS:
                return None
        begin = max(first.start, read_to)
        end = min(first.stop, begin + STEP_SECONDS)
        return begin, end, len(new) == 1 and end == first.stop

    def _whiten(self, end):
        """Whiten the strain before a GPS second, as much as is kept for the spectrum."""
        start, near = np.floor(end - CONTEXT_SECONDS), []
        for header in self._arrivals.headers:
            first, last = samples_in(header, start, end)
            near += [cut(header, first, last)] if first < last else []
        network = self._network
        yield from whitened_stretches(
            near, network.detectors, network.whitening, window_samples=network.scanner.window_samples
        )

    def _search(self, stretch, end):
        """Scan the new end of a stretch, and tell the events that are settled."""
        network, rate = self._network, stretch.sample_rate
        stop = stretch.gps_stop
        before = max(stretch.gps_start, _or_ever(self._told_to) - self._lookback)
        length = round(rate * next((s for s in SCANNED_SECONDS if s >= stop - before), SCANNED_SECONDS[-1]))
        # Strain before the stretch is silent, and what windows say that hold some of it is left out.
        silent = max(0, length - len(stretch.strain))
        strain = np.pad(stretch.strain[max(0, len(stretch.strain) - length) :], ((silent, 0), (0, 0)))
        first = -(-silent // network.scanner.stride)
        start = stop - length / rate + first * network.stride_seconds
        scans = [_later(scan, first) for scan in self._scan(strain)]
        if not len(scans[0].scores):
            return
        tail = replace(stretch, gps_start=start)
        alone = network.loudest_near(scans[1:]) if len(scans) > 2 else None
        found = gated(network.cluster(scans[0], tail.gps_start, min(THRESHOLD, self._threshold), alone), tail)
        last = tail.gps_start + network.times_of(scans[0])[-1]
        ends = stop < end - network.whitening.filter_seconds  # a gap follows
        settled = stop if ends else last - CLUSTER_SECONDS
        told_to = _or_ever(self._told_to)
        chosen = (found.time >= told_to - CLUSTER_SECONDS) & (found.time < settled) & ~self._told.holds(found.time)
        yield from self._tell(found.select(chosen & ~inside(found.time, self._vetoes)), end)
        self._told_to = max(told_to, settled)

    def _tell(self, found, end):
        """Keep events, and yield those that are loud enough."""
        network, loud = self._network, found.stat >= self._threshold
        self._told.remember(found.time[~loud])
        found = found.select(loud)
        background, searched = self._told.background(end - HOURS * 3600)
        for event in described(found, network, background, searched):
            about = {"background_seconds": background.seconds, "strain_to": end, "model": network.name}
            yield self._told.tell({**event, **about})

    def _scan(self, strain):
        arrangements = [(0,) * len(self._network.detectors), *self._network.muted()]
        return list(self._network.scanner.scan_arranged(strain, arrangements, above=min(THRESHOLD, self._threshold)))

    def _take_blocks(self, stretch):
        """Take the blocks of a stretch that are to be slid; where too many wait, those that have waited longest are left out."""
        rate, samples = stretch.sample_rate, round(BLOCK_SECONDS * stretch.sample_rate)
        while True:
            first = round(max(0.0, self._block_from - stretch.gps_start) * rate)
            if len(stretch.strain) - first < samples:
                return
            start = stretch.gps_start + first / rate
            block = replace(stretch, gps_start=start, strain=stretch.strain[first : first + samples])
            self._block_from = start + BLOCK_SECONDS
            self._blocks = [*self._blocks, block][-WAITING:]

    def _slide(self, block):
        """Slide a block, one slide at a time, so that no event waits for all of them; keep what they gave."""
        network = self._network
        alone = network.alone(block.strain) if len(network.detectors) > 1 else None
        scans = []
        for shifts in slide_shifts(network, block, self._slides):
            yield
            scans += network.scanner.scan_arranged(block.strain, [shifts], above=THRESHOLD)
        found = slid_background(network, block, self._slides, THRESHOLD, self._vetoes, alone=alone, scans=scans)
        self._told.add(
            Block(block.gps_start, block.gps_stop, block.seconds, found), network, block.gps_stop - HOURS * 3600
        )


def _later(scan, first):
    """Return a Scan without its first scores."""
    light = None if scan.light is None else scan.light[first:]
    return replace(scan, scores=scan.scores[first:], evidence=scan.evidence[first:], light=light)


def _or_ever(second):
    """Return a GPS second, minus infinity for None."""
    return -np.inf if second is None else second


def follow(
    network: Detector,
    folder: Path | str,
    output: Path,
    *,
    threshold: float = THRESHOLD,
    slides: int = SLIDES,
    quality: Sequence[str] = (),
    channels: Mapping[str, str] | Sequence[str] | None = None,
    vetoes: Sequence | np.ndarray = (),
    idle_seconds: float = np.inf,
    say: Callable[[str], object] = print,
) -> Iterator[dict]:
    """Search the strain files in a folder and those that arrive in it.

    Args:
        network: Detector.
        folder: Folder.
        output: File of events, a JSON object a line; where a search of the same network left it, that goes on, without loss or repetition.
        threshold, slides, vetoes, say: See `Follower`.
        quality, channels: See `find_segments`.
        idle_seconds: Ends when no strain has come for so long, and says how far the search has come.

    Yields:
        Each event, a dictionary, once it is kept in `output`.

    Raises:
        InputError: No such folder, or an output of another search.
    """
    told = Told(output, network)
    if told.searched_to is not None:
        say(
            f"{output}: goes on after GPS {told.searched_to:.3f}, up to where it was searched before; with --overwrite it begins anew"
        )
    arrivals = Arrivals(folder, network.detectors, quality, channels, say=say)
    follower = Follower(network, arrivals, told, threshold=threshold, slides=slides, vetoes=vetoes, say=say)
    follower.warm_up()
    newest = time.monotonic()
    while time.monotonic() - newest < idle_seconds:
        before = follower.files
        yield from follower.poll()
        if follower.files > before:
            newest = time.monotonic()
        else:
            time.sleep(POLL_SECONDS)
    arrivals.give_up()
    say(f"no strain for {idle_seconds:g} s; {told.reached(arrivals.headers)}; the events are in {output}")
