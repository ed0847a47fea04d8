"""Find glitches in one's own strain: transients that one detector shows and the others do not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from keras_gw_resnet.errors import InputError
from keras_gw_resnet.progress import Bar
from keras_gw_resnet.simulation.glitch_import import CONTEXT_SECONDS, Cutter, cut_from_stretch
from keras_gw_resnet.simulation.transients import REACH_SECONDS, extract, find_transients
from keras_gw_resnet.strain.catalogue import left_out_intervals
from keras_gw_resnet.strain.quality import inside
from keras_gw_resnet.strain.stretches import Coverage, shortage, whitened_stretches

if TYPE_CHECKING:
    from keras_gw_resnet.search.detector import Detector
    from keras_gw_resnet.simulation.glitch_bank import GlitchBank
    from keras_gw_resnet.simulation.glitch_import import CutOptions
    from keras_gw_resnet.strain.conditioning import Whitening
    from keras_gw_resnet.strain.layouts import SegmentHeader

# Transients of two detectors nearer than this are coincident: the time of flight, and how well a time is known.
COINCIDENT_SECONDS = 0.1
# From an event of a network to the transient that it is about.
NEAR_SECONDS = 0.5


@dataclass
class Mined:
    """What a search for glitches came across.

    Attributes:
        seconds: Strain searched.
        coincident: Transients left out because another detector shows one too.
        events: Transients left out around catalogue events and other times to leave out.
        faint: Left out because their SNR, or that of what stands out of the noise, is too small.
        gated: Gated places of single detectors' strain, which are too loud for a search to show.
    """

    seconds: float = 0.0
    coincident: int = 0
    events: int = 0
    faint: int = 0
    gated: int = 0


def mine(
    headers: Sequence[SegmentHeader],
    detectors: Sequence[str],
    options: CutOptions,
    settings: Whitening,
    *,
    lowest_snr: float,
    left_out: Iterable[float] = (),
    network: Detector | None = None,
    threshold: float | None = None,
) -> tuple[GlitchBank, Mined]:
    """Find transients of single detectors and cut them.

    Args:
        headers: SegmentHeader list, as from `find_segments`.
        detectors: Names; with one alone nothing can be coincident.
        options: `glitch_import.CutOptions`.
        settings: Whitening.
        lowest_snr: Of a glitch, as its cut has it.
        left_out: GPS times beside the catalogue's around which nothing is taken.
        network: `search.detector.Detector`; where it finds an event, a transient of one detector is taken too, however
            small its SNR. None: excess power alone.
        threshold: Lowest statistic of such an event.

    Returns:
        Tuple (GlitchBank, Mined).

    Raises:
        InputError: No strain long enough, or no glitch in it.
    """
    cutter, mined, coverage = Cutter(settings.sample_rate, options), Mined(), Coverage()
    events = left_out_intervals(left_out)
    window = network.window_samples if network else 1
    total = round(sum(h.samples / h.sample_rate for h in headers if h.detector == detectors[0]))
    with Bar(total=total, desc="glitches", unit="s") as bar:
        for stretch in whitened_stretches(headers, detectors, settings, window_samples=window, coverage=coverage):
            for column, at, label, least in _lone(stretch, events, mined, network, threshold, lowest_snr):
                _take(cutter, mined, stretch, column, at, label, least)
            mined.seconds += stretch.seconds
            mined.gated += sum(len(gates) for gates in stretch.gates)
            bar.update(round(stretch.seconds))
    files = ", ".join(sorted({str(h.path) for h in headers}))
    if not coverage.whitened:
        raise InputError(f"{files}: {shortage(coverage, settings, window)}")
    if not cutter.found:
        raise InputError(
            f"{files}: no glitch of SNR {lowest_snr:g} and more in {mined.seconds:.0f} s of strain; try a lower --snr"
        )
    return cutter.bank("strain"), mined


def _lone(stretch, events, mined, network, threshold, lowest_snr):
    """List (column, seconds, label, least SNR) of transients that one detector alone shows."""
    rate = stretch.sample_rate
    times = [find_transients(column, rate) / rate for column in stretch.strain.T]
    wanted = {(column, at): ("excess power", lowest_snr) for column, own in enumerate(times) for at in own}
    if network is not None:
        found = network.cluster(network.scanner.scan(stretch.strain), stretch.gps_start, threshold)
        for time in found.time - stretch.gps_start:
            for column, own in enumerate(times):
                near = own[np.abs(own - time) <= NEAR_SECONDS]
                wanted |= {(column, at): (network.name, 0.0) for at in near}
    lone = []
    for (column, at), (label, least) in sorted(wanted.items()):
        others = [own for number, own in enumerate(times) if number != column]
        if any(np.any(np.abs(own - at) <= COINCIDENT_SECONDS) for own in others):
            mined.coincident += 1
        elif inside([stretch.gps_start + at], events)[0]:
            mined.events += 1
        else:
            lone.append((column, at, label, least))
    return lone


def _take(cutter, mined, stretch, column, at, label, least):
    rate = stretch.sample_rate
    first = max(0, round((at - CONTEXT_SECONDS) * rate))
    near = stretch.strain[first : round((at + CONTEXT_SECONDS) * rate), column]
    transient = extract(near, rate, at * rate - first)
    if transient is None or transient.snr < least:
        mined.faint += 1
        return
    gps = stretch.gps_start + (first + transient.sample) / rate
    if cutter.has(stretch.detectors[column], gps, REACH_SECONDS):
        return  # parts of one transient, which the cut has whole
    cut_from_stretch(cutter, stretch, column, at, label, "mined", transient.snr)
