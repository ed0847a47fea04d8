"""Generate waveforms with PyCBC."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_gw_resnet.backend import quiet_stderr
from keras_gw_resnet.errors import InputError, first_line
from keras_gw_resnet.files import require_memory
from keras_gw_resnet.progress import Bar
from keras_gw_resnet.simulation.bank import WaveformBank
from keras_gw_resnet.simulation.detectors import lal_geometry
from keras_gw_resnet.simulation.populations import Population, draw, get_population
from keras_gw_resnet.simulation.workers import worker_pool
from keras_gw_resnet.strain.files import DETECTORS

SECONDS_AFTER_MERGER = 0.25
LONGEST_SECONDS = 16.0
INTRINSIC = ("mass1", "mass2", "spin1x", "spin1y", "spin1z", "spin2x", "spin2y", "spin2z")


def polarizations(parameters: dict, population: Population, sample_rate: int) -> tuple:
    """Generate both polarisations of one binary with a tapered start.

    Args:
        parameters: Dictionary of floats, as drawn by `populations.draw`.
        population: Population.
        sample_rate: Samples per second.

    Returns:
        Tuple of pycbc TimeSeries (hplus, hcross); time zero is the coalescence.
    """
    from pycbc.waveform import get_td_waveform

    waveform = get_td_waveform(
        approximant=population.approximant,
        mode_array=list(population.modes),
        f_lower=population.f_lower,
        f_ref=population.f_ref,
        delta_t=1 / sample_rate,
        **{name: float(parameters[name]) for name in (*INTRINSIC, "inclination", "coa_phase", "distance")},
    )
    return tuple(h.taper_timeseries(location="start") for h in waveform)


def check_waveform(parameters: dict, population: Population, sample_rate: int) -> None:
    """Raise InputError when PyCBC cannot make the waveform of a binary of this population; see `polarizations`."""
    with quiet_stderr():
        try:
            hplus, _ = polarizations(parameters, population, sample_rate)
            _cut(hplus, sample_rate, sample_rate, sample_rate)
        except Exception as error:  # whatever PyCBC and LAL raise
            raise InputError(
                f"population {population.name}: PyCBC makes no waveform of it ({first_line(error)}); check approximant "
                f"({population.approximant}), modes, f_lower and f_ref"
            ) from error


def _cut(series, sample_rate, before, after):
    """Return samples [-before, after) around the coalescence, zeros where the waveform has none."""
    values = series.numpy()
    merger = round(-float(series.start_time) * sample_rate)
    cut = np.zeros(before + after, np.float32)
    first, last = max(0, merger - before), min(len(values), merger + after)
    cut[first - merger + before : last - merger + before] = values[first:last]
    return cut


def _one(task):
    parameters, population, sample_rate, before, after = task
    hplus, hcross = polarizations(parameters, population, sample_rate)
    return _cut(hplus, sample_rate, before, after), _cut(hcross, sample_rate, before, after)


def plain_waveforms(masses: Sequence[tuple[float, float]], sample_rate: int, seconds: float) -> np.ndarray:
    """Generate the plus polarisation of binaries without spins and higher modes that are seen face-on.

    Args:
        masses: Component masses of each, in solar masses in the detector frame.
        sample_rate: Samples per second.
        seconds: Length; a sixteenth of it lies behind the coalescence.

    Returns:
        float64 array (binaries, samples), each of unit power.
    """
    population = Population("without spins", mass_range=(1.0, 1000.0), spins="none", modes=((2, 2),))
    after = round(seconds * sample_rate / 16)
    before, none = round(seconds * sample_rate) - after, dict.fromkeys((*INTRINSIC, "inclination", "coa_phase"), 0.0)
    found = []
    with quiet_stderr():
        for heavier, lighter in masses:
            own = {**none, "mass1": heavier, "mass2": lighter, "distance": 1.0}
            wave = _cut(polarizations(own, population, sample_rate)[0], sample_rate, before, after).astype(np.float64)
            found.append(wave / np.linalg.norm(wave))
    return np.stack(found)


def make_bank(
    population: Population | Path | str,
    number: int,
    *,
    seed: int,
    duration_seconds: float = 2.0,
    sample_rate: int = 2048,
    detectors: Sequence[str] = DETECTORS,
    processes: int | None = None,
) -> WaveformBank:
    """Draw binaries and generate their waveforms in several processes.

    Args:
        population: A Population, or the name of one.
        number: How many waveforms.
        seed: Seed of the draw; the bank depends on it and on the other arguments alone.
        duration_seconds: Seconds kept, most of them before the coalescence.
        sample_rate: Samples per second.
        detectors: Detectors whose geometry the bank carries.
        processes: Worker processes; None: one a core.

    Returns:
        WaveformBank.

    Raises:
        InputError: Unknown population or detector, or a duration out of range.
    """
    if not 2 * SECONDS_AFTER_MERGER <= duration_seconds <= LONGEST_SECONDS:
        raise InputError(
            f"--duration is {duration_seconds:g} s; expected {2 * SECONDS_AFTER_MERGER:g} to {LONGEST_SECONDS:g} s"
        )
    require_memory(
        8 * number * duration_seconds * sample_rate, f"--number {number} waveforms of {duration_seconds:g} s"
    )
    geometries = {name: lal_geometry(name) for name in detectors}
    prior = get_population(population)
    drawn = draw(prior, number, np.random.default_rng(seed))
    after = round(SECONDS_AFTER_MERGER * sample_rate)
    before = round(duration_seconds * sample_rate) - after
    tasks = [({k: v[i] for k, v in drawn.items()}, prior, sample_rate, before, after) for i in range(number)]
    check_waveform(tasks[0][0], prior, sample_rate)
    with worker_pool(processes) as pool:
        waveforms = list(
            Bar(
                pool.map(_one, tasks, chunksize=4),
                total=number,
                desc="waveforms",
                unit="waveform",
            )
        )
    return WaveformBank(
        hplus=np.stack([plus for plus, _ in waveforms]),
        hcross=np.stack([cross for _, cross in waveforms]),
        parameters=drawn,
        sample_rate=sample_rate,
        merger_sample=before,
        detectors=geometries,
        population=getattr(population, "name", population),  # ty: ignore[invalid-argument-type]
        seed=seed,
    )
