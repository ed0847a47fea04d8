"""How many glitches a network takes for signals: real ones of a bank, one at a time, Gaussian noise around them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from keras_gw_resnet.progress import Bar
from keras_gw_resnet.search.detector import THRESHOLD

if TYPE_CHECKING:
    from keras_gw_resnet.search.detector import Detector
    from keras_gw_resnet.simulation.glitch_bank import GlitchBank, SnrLaw

# Whitened strain that is scanned for each glitch, which lies in its middle.
SECONDS = 8
# Edges of the bins of SNR.
SNR_BINS = (0.0, 10.0, 20.0, 50.0, np.inf)


@dataclass(frozen=True)
class GlitchScores:
    """The loudest statistic that a network gives to each glitch.

    Attributes:
        stat: float64 array (n,).
        label, detector: Text arrays (n,).
        snr: float64 array (n,).
    """

    stat: np.ndarray
    label: np.ndarray
    detector: np.ndarray
    snr: np.ndarray

    def shares(self, thresholds: Mapping[str, float]) -> list[dict]:
        """Return the share of glitches above thresholds, by kind and by SNR.

        Args:
            thresholds: Dictionary from a name, such as "1000", to a statistic.

        Returns:
            List of dictionaries with "group", "glitches", and for each threshold the share of glitches above it: of all, of
            each label, and of each bin of SNR that has any.
        """
        groups = [("all", np.ones(len(self.stat), bool))]
        groups += [(str(name), self.label == name) for name in np.unique(self.label)]
        for low, high in itertools.pairwise(SNR_BINS):
            name = f"SNR {low:g} to {high:g}" if np.isfinite(high) else f"SNR {low:g} and more"
            groups.append((name, (self.snr >= low) & (self.snr < high)))
        return [
            {"group": name, "glitches": int(np.sum(own))}
            | {key: float(np.mean(self.stat[own] > value)) for key, value in thresholds.items()}
            for name, own in groups
            if np.any(own)
        ]


def score_glitches(
    network: Detector, bank: GlitchBank, *, seed: int = 0, repeats: int = 1, snr: SnrLaw | None = None
) -> GlitchScores:
    """Scan every glitch of a bank in its detector, Gaussian noise in all of them.

    Args:
        network: `search.detector.Detector`.
        bank: `simulation.glitch_bank.GlitchBank`, whitened, of the network's sample rate; glitches of detectors that the
            network does not have are left out.
        seed: Of the noise, of where a glitch lies, and of the SNR of those whose shape alone is known.
        repeats: How often each is scanned, in fresh noise.
        snr: `glitch_bank.SnrLaw` or None, see `GlitchBank.draw`.

    Returns:
        GlitchScores.
    """
    rate, rng, rows = network.sample_rate, np.random.default_rng(seed), []
    samples = SECONDS * rate
    kept = np.isin(bank.detector, network.detectors)
    bank = bank.select(kept)
    with Bar(total=repeats * len(bank), desc="glitches", unit="glitch") as bar:
        for index in np.repeat(np.arange(len(bank)), repeats):
            one, column = bank.select([index]), network.detectors.index(bank.detector[index])
            strain = _noise(rng, samples, len(network.detectors), network.whitening)
            middle = samples / 2 + rng.uniform(-0.5, 0.5) * rate
            glitch, loudness, _ = one.draw(rng, 1, samples, one.detector[0], middle=[middle], snr=snr)
            if one.reconstruction[0] == "whole":
                strain[:, column] = np.where(glitch[0] != 0, glitch[0], strain[:, column])
            else:
                strain[:, column] += glitch[0]
            events = network.cluster(network.scanner.scan(strain), 0.0, -np.inf)
            rows.append((events.stat.max() if len(events) else THRESHOLD, one.label[0], one.detector[0], loudness[0]))
            bar.update()
    return GlitchScores(*(np.array(column) for column in zip(*rows, strict=True)))


def _noise(rng, samples, detectors, whitening):
    """Draw whitened Gaussian noise without content below the whitening's low frequency, float32 (samples, detectors)."""
    spectrum = np.fft.rfft(rng.normal(size=(samples, detectors)), axis=0)
    frequency = np.fft.rfftfreq(samples, 1 / whitening.sample_rate)
    return np.fft.irfft(spectrum * (frequency >= whitening.low_frequency)[:, None], samples, axis=0).astype(np.float32)
