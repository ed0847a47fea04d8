"""Sets with injections: strain with them, strain without, and their parameters, opened to be searched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from keras_gw_resnet.errors import InputError
from keras_gw_resnet.evaluation.leakage import seen_glitches, seen_in_training
from keras_gw_resnet.evaluation.noise_pieces import NoisePieces, read_noise_pieces
from keras_gw_resnet.hdf5 import attribute, open_hdf5, text
from keras_gw_resnet.inputs import parse_json
from keras_gw_resnet.simulation.injections import read_injections
from keras_gw_resnet.strain.catalogue import known_events
from keras_gw_resnet.strain.files import find_segments
from keras_gw_resnet.strain.intervals import intervals_of
from keras_gw_resnet.strain.layouts import MEASURED
from keras_gw_resnet.strain.quality import inside

SEARCHED = ("foreground", "background")
PARTS = (*SEARCHED, "injections")


@dataclass(frozen=True)
class InjectionSet:
    """Strain with injections, strain without, and the parameters of the injections.

    Attributes:
        paths: Dictionary of the files of `PARTS`.
        headers: Dictionary foreground, background -> SegmentHeader list.
        intervals: Dictionary foreground, background -> list of [GPS start, GPS stop, origin].
        injections: Dictionary of float64 arrays (n,), those in the foreground alone.
        outside: How many of the file's injections lie outside the foreground.
        population: The challenge's set that they follow; None where the file does not say.
        quality: Data-quality flags that the strain has to fulfil.
        channels: Which channels are the detectors' strain, see `find_segments`.
        pieces: `noise_pieces.NoisePieces` of measured noise; None: the noise is none that 'simulate set --noise' made.
        glitches: Dictionary of the glitch bank's fingerprint and the rates a minute by detector; {}: there are none in it.
    """

    paths: dict
    headers: dict
    intervals: dict
    injections: dict
    outside: int
    population: str | None
    quality: tuple
    channels: tuple
    pieces: NoisePieces | None
    glitches: dict

    @property
    def noise(self) -> dict:
        """What cards and records keep of noise that is not Gaussian; {}: it is."""
        return self.glitches if self.pieces is None else self.pieces.to_dict()

    @property
    def kind(self) -> str | None:
        """What cards call the set: its population, and what its noise is where that is not Gaussian; None: not known."""
        what = " in measured noise" if self.pieces else " with glitches" if self.glitches else ""
        return f"{self.population}{what}" if self.population else None

    @property
    def published(self) -> str | None:
        """The challenge's set whose published figures compare: set 4 is set 3 in measured noise."""
        return "set4" if self.pieces and self.population == "set3" else self.population

    def seen_by(self, card: dict) -> list[str]:
        """List what of the set the network of a card was trained on, see `leakage.seen_in_training`."""
        every = [*self.intervals.values(), *([self.pieces.sources] if self.pieces else [])]
        seen = {line for each in every for line in seen_in_training(card, each)}
        return sorted({*seen, *seen_glitches(card, self.glitches.get("glitch_bank", ""))})

    def describe(self) -> dict:
        """Return what the set is, for records."""
        files = {name: str(path) for name, path in self.paths.items()}
        noise = {"noise": self.noise} if self.noise else {}
        own = {"population": self.population, "published": self.published}
        return {**files, "injections": len(self.injections["tc"]), **own, **noise}


def open_set(
    paths: dict,
    detectors: Sequence[str],
    *,
    quality: Sequence[str] = (),
    channels: Sequence[str] = (),
    published: str | None = None,
) -> InjectionSet:
    """Open a set with injections for `measure_set`; its strain is not read yet.

    Args:
        paths: Dictionary foreground, background, injections -> file.
        detectors: Names.
        quality: Data-quality flags that the strain has to fulfil.
        channels: Which channels are the detectors' strain, see `find_segments`.
        published: The challenge's set that it is; None: the one that the injections say.

    Returns:
        InjectionSet.

    Raises:
        InputError: A file that is missing or cannot be read, no injection in the foreground, or an event of the catalogue in
            measured strain that is to be the background.
    """
    headers = {name: find_segments(paths[name], quality, channels) for name in SEARCHED}
    intervals = {name: intervals_of(own, detectors) for name, own in headers.items()}
    _refuse_events(paths["background"], intervals["background"])
    every, within = read_injections(paths["injections"]), intervals["foreground"]
    kept = inside(every["tc"], [interval[:2] for interval in within])
    if not np.any(kept):
        raise InputError(
            f"{paths['injections']}: none of its injections, GPS {every['tc'].min():.0f} to {every['tc'].max():.0f}, lies "
            f"in {paths['foreground']}, GPS {within[0][0]:.0f} to {within[-1][1]:.0f}; give the injections of this foreground"
        )
    return InjectionSet(
        paths=paths,
        headers=headers,
        intervals=intervals,
        injections={name: values[kept] for name, values in every.items()},
        outside=np.count_nonzero(~kept),  # ty: ignore[invalid-argument-type]
        population=published or _population(paths["injections"]),
        quality=tuple(quality),
        channels=tuple(channels),
        pieces=read_noise_pieces(paths["background"], detectors),
        glitches=_glitches_in(paths["background"], detectors),
    )


def _refuse_events(path, intervals):
    """Raise InputError where measured strain that is to be noise holds events of the catalogue."""
    found = [name for start, stop, origin in intervals if origin == MEASURED for name in known_events(start, stop, 0)]
    if found:
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        raise InputError(
            f"{path}: is to be noise and holds {found[0]}{more}; cut 4 s around out, or let --set NAME --noise FILE make the set"
        )


def _glitches_in(path, detectors):
    """Return what a background file says of glitches that were put into it."""
    with open_hdf5(path) as file:
        bank = attribute(file, "glitch_bank")
        if bank is None:
            return {}
        rates = {d: float(attribute(file, f"glitch_rate_{d}", 0.0)) for d in detectors}
        return {"glitch_bank": text(bank), "glitches_a_minute": rates}


def _population(path):
    """Return the name of the challenge's set that the injections follow, where the file says so."""
    with open_hdf5(path) as file:
        stated = parse_json(text(attribute(file, "population", "{}"), 1 << 16), path, "a population")
    return stated.get("name") if isinstance(stated, dict) else None
