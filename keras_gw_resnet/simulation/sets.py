"""Simulated data sets like those of the MLGWSC-1 challenge (arXiv 2209.11146): foreground, background, injections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_gw_resnet.errors import InputError
from keras_gw_resnet.files import require_space
from keras_gw_resnet.progress import Bar
from keras_gw_resnet.simulation import real_noise
from keras_gw_resnet.simulation.injections import (
    EDGE_SECONDS,
    coalescence_times,
    detector_strain,
    inject,
    write_injections,
)
from keras_gw_resnet.simulation.noise import GPS_START, NOISE_LOW_FREQUENCY, coloured_noise
from keras_gw_resnet.simulation.populations import draw, get_population
from keras_gw_resnet.simulation.psds import load_psd
from keras_gw_resnet.simulation.waveforms import check_waveform
from keras_gw_resnet.simulation.workers import worker_pool
from keras_gw_resnet.strain.files import DETECTORS
from keras_gw_resnet.strain.writers import mlgwsc1_file

if TYPE_CHECKING:
    from keras_gw_resnet.simulation.populations import Population
    from keras_gw_resnet.simulation.real_noise import RealNoise
    from keras_gw_resnet.simulation.set_glitches import SetGlitches

FILES = ("foreground.hdf", "background.hdf", "injections.hdf")
# Beside them where glitches were put into the noise.
GLITCHES_FILE = "glitches.hdf"
# Rules of the challenge: how long a segment is at least where there are several, and what lies between them.
SEGMENT_SECONDS = 7200
GAP_SECONDS = 64
SHORTEST_SECONDS = 2 * EDGE_SECONDS + 4


def segment_list(duration_seconds: int, gps_start: float = GPS_START) -> list[tuple[int, int]]:
    """Divide a duration into segments of two hours and more, with gaps between them.

    Args:
        duration_seconds: Whole seconds of strain in all.
        gps_start: Where the first begins.

    Returns:
        List of (GPS start, whole seconds).
    """
    count = max(1, duration_seconds // SEGMENT_SECONDS)
    lengths = [duration_seconds // count + (i < duration_seconds % count) for i in range(count)]
    starts = gps_start + np.concatenate([[0], np.cumsum(np.array(lengths[:-1], int) + GAP_SECONDS)]).astype(int)
    return list(zip(starts.tolist(), lengths, strict=True))


def psds_of(sources: Sequence[Path | str], detectors: Sequence[str]) -> dict[str, list[str]]:
    """Resolve PSD sources into a list for each detector.

    Args:
        sources: Names or files, for all detectors; or folders that hold one folder of PSD files a detector. As "V1=NAME" it is for
            that detector alone, which has no other ones then.
        detectors: Names.

    Returns:
        Dictionary detector -> list of names or paths.

    Raises:
        InputError: A folder without files for a detector, or a PSD that cannot be used.
    """
    unknown = [name for name in detectors if name not in DETECTORS]
    if unknown:
        raise InputError(f"--detectors {unknown[0]}: unknown detector; known are {', '.join(DETECTORS)}")
    named, found = [_owner_and_source(source) for source in sources], {}
    for detector in detectors:
        own = [source for owner, source in named if owner == detector]
        own = own or [source for owner, source in named if owner is None]
        found[detector] = [file for source in own for file in _psds_in(source, detector)]
    for source in {source for own in found.values() for source in own}:
        load_psd(source, 0.25, 1024)
    return found


def _owner_and_source(source):
    """Return (detector, source) of a PSD source "V1=NAME"; (None, source) of one for all detectors."""
    owner, sign, name = str(source).partition("=")
    return (owner, name) if sign and owner in DETECTORS else (None, str(source))


def _psds_in(source, detector):
    """Return the names or files of a PSD source for a detector."""
    if not Path(source).is_dir():
        return [source]
    files = sorted(str(p) for p in (Path(source) / detector).glob("*") if p.suffix in (".hdf", ".hdf5", ".txt"))
    if not files:
        raise InputError(
            f"{source}: holds no PSD files in a folder {detector}; expected {detector}/*.hdf or *.txt, or {detector}=NAME beside it"
        )
    return files


def _signal(task):
    parameters, population, detectors, sample_rate = task
    return [detector_strain(parameters, population, detector, sample_rate) for detector in detectors]


class _GaussianNoise:
    """Coloured Gaussian noise of a set, with glitches where a bank is given."""

    edge, what = EDGE_SECONDS, "Gaussian noise"

    def __init__(self, prior, duration, psds, detectors, sample_rate, glitches=None):
        self._prior, self._sources, self._detectors = prior, psds_of(psds or (prior.psd,), detectors), detectors
        self._rate, self.glitches = sample_rate, glitches
        self.segments = segment_list(duration)

    def prepare(self, rng):
        """Draw spectra and seeds of all segments."""
        of_all = {d: str(rng.choice(own)) for d, own in self._sources.items()}
        self._chosen = [
            {d: str(rng.choice(own)) for d, own in self._sources.items()}
            if self._prior.psd_per == "segment"
            else of_all
            for _ in self.segments
        ]
        self._seeds = rng.integers(2**31, size=(len(self.segments), len(self._detectors)))

    def read(self, index):
        """Return the noise of a segment and what its datasets say of it, dictionaries by detector."""
        (start, seconds), own = self.segments[index], self._chosen[index]
        noise = {
            d: coloured_noise(own[d], start, seconds, seed=int(s), sample_rate=self._rate)
            for d, s in zip(self._detectors, self._seeds[index], strict=True)
        }
        if self.glitches is not None:
            for number, d in enumerate(self._detectors):
                self.glitches.add(noise[d], start, d, own[d], int(self._seeds[index][number]))
        return noise, {d: {"psd": Path(own[d]).name} for d in self._detectors}


class _MeasuredNoise:
    """Strain of files as the noise of a set, see `real_noise.RealNoise`."""

    edge, what, glitches = real_noise.EDGE_SECONDS, "measured noise, detectors slid", None

    def __init__(self, noise, duration, rng):
        self._noise, self.slid = noise, noise.plan(duration, rng, GPS_START)
        self.segments = [(one.gps_start, one.seconds) for one in self.slid]
        self.usage = noise.usage(self.slid)

    def prepare(self, rng):
        """Draw nothing: the plan is made."""

    def read(self, index):
        """Return the strain of a segment and where it is from, dictionaries by detector."""
        one = self.slid[index]
        where = {d: {"source_start": at, "source_stop": at + one.seconds} for d, at in one.sources.items()}
        return self._noise.read(one), {d: {**own, "slide": one.slide} for d, own in where.items()}


@dataclass(frozen=True)
class SetSummary:
    """What was written: seconds of strain, injections, glitches, and usage (see `RealNoise.usage`; None: Gaussian noise)."""

    seconds: int
    injections: int
    glitches: int
    usage: dict | None


def write_set(
    folder: Path | str,
    population: Population | Path | str,
    *,
    duration_seconds: float,
    seed: int,
    psds: Sequence[Path | str] = (),
    detectors: Sequence[str] = ("H1", "L1"),
    sample_rate: int = 2048,
    processes: int | None = None,
    noise: RealNoise | None = None,
    glitches: SetGlitches | None = None,
) -> SetSummary:
    """Simulate a test set and write foreground.hdf, background.hdf and injections.hdf.

    The background is noise; the foreground is the same noise with an injection every 24 to 30 s.

    Args:
        folder: Existing folder to write to.
        population: Name of a population.
        duration_seconds: Whole seconds of strain, 64 at least.
        seed: Everything depends on it and on the other arguments alone.
        psds: Names, files or folders, see `psds_of`; none: the population's own. A population with `psd_per` "segment"
            draws one for each segment and detector, any other one for each detector.
        detectors: Names.
        sample_rate: Samples per second.
        processes: Worker processes for the waveforms; None: one a core.
        noise: `real_noise.RealNoise`; its strain is the noise then. None: Gaussian noise.
        glitches: `set_glitches.SetGlitches` that go into Gaussian noise; None: none.

    Returns:
        SetSummary.

    Raises:
        InputError: Unknown population, a PSD that cannot be used, too short a duration, too little real noise.
    """
    if duration_seconds < SHORTEST_SECONDS:
        raise InputError(f"--duration is {duration_seconds} s; expected at least {SHORTEST_SECONDS} s")
    require_space(Path(folder) / FILES[0], 2 * 8 * sample_rate * len(detectors) * duration_seconds)
    prior, rng = get_population(population), np.random.default_rng(seed)
    if noise is None:
        source = _GaussianNoise(prior, duration_seconds, psds, detectors, sample_rate, glitches)
    else:
        source = _MeasuredNoise(noise, duration_seconds, rng)
    times = coalescence_times(rng, source.segments, source.edge)
    parameters = {"tc": times, **draw(prior, len(times), rng)}
    source.prepare(rng)
    attributes: dict = {
        "simulated": f"{source.what}, injections of population {population}",
        "population": population,
        "seed": seed,
        "duration": sum(seconds for _, seconds in source.segments),
    }
    if noise is None:
        attributes["low_frequency_cutoff"] = NOISE_LOW_FREQUENCY
    else:
        attributes |= {"noise_files": [Path(path).name for path in noise.paths[:100]], "noise": "measured"}
        for detector, (distinct, most) in source.usage.items():
            attributes |= {f"noise_seconds_{detector}": distinct, f"noise_uses_{detector}": most}
    if glitches is not None:
        attributes |= {"glitch_bank": glitches.fingerprint}
        attributes |= {f"glitch_rate_{detector}": rate for detector, rate in glitches.rates.items()}
    _write_strain(folder, source, parameters, prior, detectors, sample_rate, processes, attributes)
    write_injections(Path(folder) / FILES[2], parameters, prior)
    if glitches is not None:
        glitches.write(Path(folder) / GLITCHES_FILE)
    usage = None if noise is None else source.usage
    return SetSummary(attributes["duration"], len(times), 0 if glitches is None else len(glitches), usage)


def _write_strain(folder, source, parameters, prior, detectors, sample_rate, processes, attributes):
    """Write the two strain files, segment by segment."""
    times = parameters["tc"]
    rows = [{k: float(v[i]) for k, v in parameters.items()} for i in range(len(times))]
    tasks = [(row, prior, detectors, sample_rate) for row in rows]
    if rows:
        check_waveform(rows[0], prior, sample_rate)
    with (
        worker_pool(processes) as pool,
        mlgwsc1_file(Path(folder) / FILES[0], detectors, sample_rate, compress=False, **attributes) as foreground,
        mlgwsc1_file(Path(folder) / FILES[1], detectors, sample_rate, compress=False, **attributes) as background,
        Bar(total=len(times), desc="injections", unit="injection") as bar,
    ):
        for index, (start, seconds) in enumerate(source.segments):
            inside = [task for task in tasks if start <= task[0]["tc"] < start + seconds]
            noise, about = source.read(index)
            for detector in detectors:
                background(detector, start, noise[detector], **about[detector])
            for signals in pool.map(_signal, inside, chunksize=4):
                for detector, signal in zip(detectors, signals, strict=True):
                    inject(noise[detector], start, [signal], sample_rate)
                bar.update()
            for detector in detectors:
                foreground(detector, start, noise[detector], **about[detector])
