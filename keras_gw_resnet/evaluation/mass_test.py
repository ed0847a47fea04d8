"""Which share of signals of equal signal-to-noise ratio a network finds, by chirp mass: light systems are the hardest."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from keras_gw_resnet.datasets.gaussian_noise import gaussian_noise
from keras_gw_resnet.datasets.signals import Signals
from keras_gw_resnet.evaluation.glitch_test import thresholds_of
from keras_gw_resnet.files import written_aside
from keras_gw_resnet.search.calibration import MIDDLE, scan_signals
from keras_gw_resnet.simulation.populations import get_population
from keras_gw_resnet.simulation.sets import psds_of
from keras_gw_resnet.simulation.waveforms import make_bank

if TYPE_CHECKING:
    from pathlib import Path

    from keras_gw_resnet.search.detector import Detector

# Chirp masses in the detector frame (solar masses). Two equal masses m have a chirp mass of 2^-0.2 m, and two between them one between theirs.
CLASSES = ((5.0, 12.0), (12.0, 22.0), (22.0, 32.0), (32.0, 43.0))
REFERENCE = CLASSES[2]
WRITTEN = ("masses.json",)
# Seconds of each waveform, of which a chirp mass of 5 takes 15 from 20 Hz on, and of the strain that is scanned for each signal.
WAVEFORM_SECONDS, SECONDS = 16.0, 8
WAVEFORMS = 150


@dataclass(frozen=True)
class MassTest:
    """What one network finds of signals of each range of chirp mass.

    Attributes:
        model: Name of the network.
        stat: Dictionary (lowest, highest chirp mass) -> float64 array (signals,): the statistic of the event at each signal, -inf
            where there is none.
        thresholds: Dictionary false alarms a month, as text -> statistic.
        source: Where the thresholds are from.
        snr_range: Network SNR of the signals.
        population: Which binaries they are, but for their masses.
    """

    model: str
    stat: dict
    thresholds: dict
    source: str
    snr_range: tuple[float, float]
    population: str

    @property
    def rows(self) -> list[dict]:
        """A dictionary for each range of chirp mass: "chirp_mass", "signals", and for each threshold the share found."""
        return [
            {"chirp_mass": list(key), "signals": len(stat)}
            | {rate: float(np.mean(stat > threshold)) for rate, threshold in self.thresholds.items()}
            for key, stat in self.stat.items()
        ]

    def to_dict(self) -> dict:
        """Return the figures of masses.json and of the card."""
        return {
            "snr_range": list(self.snr_range),
            "population": self.population,
            "thresholds": self.thresholds,
            "thresholds_from": self.source,
            "found": self.rows,
        }


def measure_masses(
    network: Detector,
    *,
    snr_range: tuple[float, float] = (8.0, 10.0),
    signals: int = 256,
    population: str = "set3",
    psd: Sequence[str] = (),
    background: Path | str | None = None,
    seed: int = 0,
) -> MassTest:
    """Scan simulated signals in Gaussian noise, as many of each range of chirp mass, and say which share is above a network's thresholds.

    Args:
        network: `search.detector.Detector`.
        snr_range: Network optimal SNR of the whole signal from 20 Hz on, uniform.
        signals: How many of each range.
        population: Which binaries, but for their masses.
        psd: Names or files of the noise spectra; (): that of the population.
        background: As for `glitch_test.thresholds_of`.
        seed: Of waveforms, signals and noise.

    Raises:
        InputError: As of `glitch_test.thresholds_of`; unknown population or spectrum.
    """
    thresholds, source = thresholds_of(network, background)
    prior, detectors, whitening = get_population(population), tuple(network.detectors), network.whitening
    taps = gaussian_noise(psds_of(psd or [prior.psd], detectors), SECONDS * whitening.sample_rate, whitening).taps
    settings = Signals(snr_range=snr_range, merger_range=MIDDLE)
    timing, found = network.card["timing"], {}
    for number, (low, high) in enumerate(CLASSES):
        own = replace(prior, mass_range=(low * 2**0.2, high * 2**0.2))
        bank = _bank(own, seed + number, whitening.sample_rate, detectors)
        given = (network.scanner, bank, taps, detectors, whitening, settings, signals, SECONDS)
        what = f"chirp mass {low:g} to {high:g}, {network.name}"
        stat, lag = scan_signals(*given, what, seed=seed + number)
        near = np.abs(lag - timing["merger_seconds"]) <= timing["tolerance_seconds"]
        found[low, high] = np.where(near, stat, -np.inf)
    return MassTest(network.name, found, thresholds, source, snr_range, population)


@functools.lru_cache(maxsize=len(CLASSES))
def _bank(population, seed, sample_rate, detectors):
    """Simulate the waveforms of a range of chirp mass, once for all networks that are compared."""
    size = {"sample_rate": sample_rate, "duration_seconds": WAVEFORM_SECONDS}
    return make_bank(population, WAVEFORMS, seed=seed, detectors=detectors, **size)  # ty: ignore[invalid-argument-type]


def mass_table(test: MassTest) -> tuple[list, list]:
    """Return (rows, header) of the shares found, with binomial errors, and each share against that of chirp masses 22 to 32."""
    rates, rows = list(test.thresholds), []
    reference = next(row for row in test.rows if row["chirp_mass"] == list(REFERENCE))
    for row in test.rows:
        low, high = row["chirp_mass"]
        errors = {rate: np.sqrt(row[rate] * (1 - row[rate]) / row["signals"]) for rate in rates}
        shares = [f"{row[rate]:.2f} +- {errors[rate]:.2f}" for rate in rates]
        against = [f"{row[rate] / reference[rate]:.2f}" if reference[rate] else "-" for rate in rates]
        rows.append([f"{low:g} to {high:g}", row["signals"], *shares, *against])
    relative = [f"at {rate}, of that at {REFERENCE[0]:g} to {REFERENCE[1]:g}" for rate in rates]
    return rows, ["chirp mass", "signals", *(f"at {rate} a month" for rate in rates), *relative]


def write_mass_tests(tests: Sequence[MassTest], output: Path) -> None:
    """Write what networks find into a folder, replaced where it is there."""
    with written_aside(output) as aside:
        aside.mkdir()
        said = [{"model": test.model, **test.to_dict()} for test in tests]
        (aside / WRITTEN[0]).write_text(json.dumps(said, indent=2) + "\n")
