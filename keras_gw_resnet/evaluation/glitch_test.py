"""How many glitches a network takes for signals: real ones of a bank, one at a time, Gaussian noise around them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_gw_resnet.errors import InputError
from keras_gw_resnet.evaluation.leakage import seen_glitches
from keras_gw_resnet.evaluation.sensitivity import MONTH_SECONDS, threshold_at_rate
from keras_gw_resnet.hdf5 import attribute, open_hdf5
from keras_gw_resnet.progress import Bar
from keras_gw_resnet.search.background import CONSISTENCY, read_background
from keras_gw_resnet.search.detector import THRESHOLD

if TYPE_CHECKING:
    from keras_gw_resnet.search.detector import Detector
    from keras_gw_resnet.simulation.glitch_bank import GlitchBank

# Whitened strain that is scanned for each glitch, which lies in its middle.
SECONDS = 8
# How often each glitch is scanned, in noise drawn afresh.
REPEATS = 4
# Edges of the bins of SNR.
SNR_BINS = (0.0, 10.0, 20.0, 50.0, np.inf)
# False alarms a month at whose thresholds a network is tested.
RATES = (1000.0, 100.0, 10.0)


@dataclass(frozen=True)
class GlitchScores:
    """The loudest statistic that a network gives to each glitch.

    Attributes:
        stat: float64 array (n,).
        label, detector: Text arrays (n,).
        snr: float64 array (n,).
        index: Which glitch of the bank each is, integer array (n,).
    """

    stat: np.ndarray
    label: np.ndarray
    detector: np.ndarray
    snr: np.ndarray
    index: np.ndarray

    def shares(self, thresholds: Mapping[str, float]) -> list[dict]:
        """Return the share of glitches above thresholds, by kind and by SNR.

        Args:
            thresholds: Dictionary from a name, such as "1000", to a statistic.

        Returns:
            List of dictionaries with "group", "glitches" (how many different ones), and for each threshold the share of glitches
            above it: of all, of each label, and of each bin of SNR that has any.
        """
        groups = [("all", np.ones(len(self.stat), bool))]
        groups += [(str(name), self.label == name) for name in np.unique(self.label)]
        for low, high in itertools.pairwise(SNR_BINS):
            name = f"SNR {low:g} to {high:g}" if np.isfinite(high) else f"SNR {low:g} and more"
            groups.append((name, (self.snr >= low) & (self.snr < high)))
        return [
            {"group": name, "glitches": len(np.unique(self.index[own]))}
            | {key: float(np.mean(self.stat[own] > value)) for key, value in thresholds.items()}
            for name, own in groups
            if np.any(own)
        ]


@dataclass(frozen=True)
class GlitchTest:
    """What one network takes for signals of a glitch bank.

    Attributes:
        model: Name of the network.
        sha256: Of its model file; with `CONSISTENCY` behind it where it was tested with tests of consistency.
        scores: GlitchScores.
        thresholds: Dictionary false alarms a month, as text -> statistic.
        source: Where the thresholds are from.
        seen_in_training: What of the bank the network was trained on.
    """

    model: str
    sha256: str
    scores: GlitchScores
    thresholds: dict
    source: str
    seen_in_training: list

    @property
    def shares(self) -> list[dict]:
        """Rows of `GlitchScores.shares`."""
        return self.scores.shares(self.thresholds)

    def to_dict(self) -> dict:
        """Return the figures of glitches.json."""
        scores = {name: values.tolist() for name, values in vars(self.scores).items()}
        return {"model": self.model, "sha256": self.sha256, **self.for_card(), "scores": scores}

    def for_card(self) -> dict:
        """Return the figures that the network's card keeps."""
        return {
            "glitches": len(np.unique(self.scores.index)),
            "scans": len(self.scores.stat),
            "thresholds": self.thresholds,
            "thresholds_from": self.source,
            "shares": self.shares,
            "seen_in_training": self.seen_in_training,
        }


def usable_glitches(bank: GlitchBank, path: Path | str, sample_rate: int, detectors: Sequence[str]) -> GlitchBank:
    """Return the glitches of a bank that a network can be tested with.

    Args:
        bank: GlitchBank.
        path: Where it is from, for messages.
        sample_rate: Of the network.
        detectors: Of the network; glitches of others are left out.

    Raises:
        InputError: The bank is of another sample rate, not whitened, or without glitches of these detectors.
    """
    bank.require(sample_rate, (), path, whitened=True)
    return bank.of_detectors(detectors, path)


def thresholds_of(network: Detector, background: Path | str | None = None) -> tuple[dict, str]:
    """Return the thresholds of a network at the `RATES`, and where they are from.

    Args:
        network: `search.detector.Detector`.
        background: File of its own from 'search --slides'; the thresholds that the search wrote into it are taken, for which more is left
            out than from the background itself, see `event_table.further_tables`. None: what its card says of the set in Gaussian noise with the most
            background.

    Returns:
        Tuple (dictionary false alarms a month, as text -> statistic, source); rates that the background does not show are
        left out.

    Raises:
        InputError: The background is of another network, or no rate is known.
    """
    name, card = network.name, network.card
    if background is not None:
        slid = read_background(background, card, np.inf, network.precision)
        levels, seconds = _written_thresholds(background) or (
            {r: threshold_at_rate(slid.stat, slid.seconds, r / MONTH_SECONDS) for r in RATES},
            slid.seconds,
        )
        found = {f"{r:g}": value for r, value in levels.items() if r in RATES}
        said, missing = f"{Path(background).name} ({seconds / 3600:.1f} h)", f"{background}: is too short for"
    else:
        if card["sha256"].endswith(CONSISTENCY):
            raise InputError(
                f"{name}: its card's thresholds are those without --consistency; give --thresholds FILE, the background of "
                "'search --consistency --slides'"
            )
        sets = card.get("metrics", {}).get("sets", {})
        # The last of those with the most background.
        gaussian = [(own["hours"]["background"], key) for key, own in sets.items() if "noise" not in own]
        hours, key = max(gaussian, default=(0.0, None))
        rows = sets[key]["sensitivity"] if key else []
        found = {f"{row['rate']:g}": row["threshold"] for row in rows if row["rate"] in RATES}
        said, missing = f"the card: {key}, {hours:.1f} h of background", f"{name}: its card says nothing of"
    known = {rate: value for rate, value in found.items() if value is not None and np.isfinite(value)}
    if not known:
        raise InputError(
            f"{missing} thresholds at {', '.join(f'{r:g}' for r in RATES)} false alarms a month; measure them with "
            f"keras-gw-resnet evaluate {name} --set set1 --card, or give --thresholds FILE of a longer 'search --slides'"
        )
    return known, said


def _written_thresholds(path):
    """Return ({false alarms a month: statistic, None: but a limit}, seconds) as a search wrote them into its background; None: it did not."""
    with open_hdf5(path, "a background from 'search --slides'") as file:
        names = ("threshold_rates", "thresholds", "threshold_is_limit")
        seconds, rows = attribute(file, "threshold_background_seconds"), [attribute(file, name, ()) for name in names]
        rows = zip(*(np.ravel(row).tolist() for row in rows), strict=True)
        levels = {float(rate): None if limit else float(value) for rate, value, limit in rows}
        return None if seconds is None else (levels, float(seconds))


def measure_glitches(
    network: Detector, bank: GlitchBank, fingerprint: str, *, background: Path | str | None = None, seed: int = 0
) -> GlitchTest:
    """Say which share of the glitches of a bank lies above a network's thresholds.

    Args:
        network, bank, seed: As for `score_glitches`.
        fingerprint: Of the whole bank.
        background: As for `thresholds_of`.

    Raises:
        InputError: As of `thresholds_of`.
    """
    thresholds, source = thresholds_of(network, background)
    scores = score_glitches(network, bank, seed=seed, repeats=REPEATS)
    seen = seen_glitches(network.card, fingerprint)
    return GlitchTest(network.name, network.card["sha256"], scores, thresholds, source, seen)


def score_glitches(network: Detector, bank: GlitchBank, *, seed: int = 0, repeats: int = 1) -> GlitchScores:
    """Scan every glitch of a bank in its detector, Gaussian noise in all of them.

    Args:
        network: `search.detector.Detector`.
        bank: `simulation.glitch_bank.GlitchBank`, whitened, of the network's sample rate; glitches of detectors that the
            network does not have are left out.
        seed: Of the noise, of where a glitch lies, and of the SNR of those whose shape alone is known.
        repeats: How often each is scanned, in fresh noise.

    Returns:
        GlitchScores.
    """
    rate, rng, rows = network.sample_rate, np.random.default_rng(seed), []
    samples = SECONDS * rate
    own = np.flatnonzero(np.isin(bank.detector, network.detectors))
    with Bar(total=repeats * len(own), desc=f"glitches, {network.name}", unit="glitch") as bar:
        for index in np.repeat(own, repeats):
            one, column = bank.select([index]), network.detectors.index(bank.detector[index])
            strain = _noise(rng, samples, len(network.detectors), network.whitening)
            middle = samples / 2 + rng.uniform(-0.5, 0.5) * rate
            glitch, loudness, _ = one.draw(rng, 1, samples, one.detector[0], middle=[middle])
            if one.reconstruction[0] == "whole":
                strain[:, column] = np.where(glitch[0] != 0, glitch[0], strain[:, column])
            else:
                strain[:, column] += glitch[0]
            events = network.cluster(network.scanner.scan(strain), 0.0, -np.inf)
            stat = events.stat.max() if len(events) else THRESHOLD
            rows.append((stat, one.label[0], one.detector[0], loudness[0], index))
            bar.update()
    return GlitchScores(*(np.array(column) for column in zip(*rows, strict=True)))


def _noise(rng, samples, detectors, whitening):
    """Draw whitened Gaussian noise without content below the whitening's low frequency, float32 (samples, detectors)."""
    spectrum = np.fft.rfft(rng.normal(size=(samples, detectors)), axis=0)
    frequency = np.fft.rfftfreq(samples, 1 / whitening.sample_rate)
    return np.fft.irfft(spectrum * (frequency >= whitening.low_frequency)[:, None], samples, axis=0).astype(np.float32)
