"""Coloured Gaussian noise, written as strain files in the MLGWSC-1 layout."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from keras_gw_resnet.files import require_space
from keras_gw_resnet.progress import Bar
from keras_gw_resnet.simulation.psds import load_psd
from keras_gw_resnet.strain.writers import mlgwsc1_file

# The challenge's data begin here too (arXiv 2209.11146): the start of O3a.
GPS_START = 1238166018
NOISE_LOW_FREQUENCY = 15.0


def coloured_noise(
    psd_source: str, gps_start: float, seconds: int, *, seed: int, sample_rate: int = 2048
) -> np.ndarray:
    """Simulate Gaussian noise of one detector from 15 Hz on.

    Args:
        psd_source: Name or file of the PSD, see `load_psd`.
        gps_start: Whole GPS second of the first sample; together with the seed it fixes the noise.
        seconds: Whole seconds.
        seed: Seed.
        sample_rate: Samples per second.

    Returns:
        float64 array (seconds * sample_rate,).
    """
    from pycbc.noise.reproduceable import colored_noise
    from pycbc.types import FrequencySeries

    delta_f = 0.25
    psd = load_psd(psd_source, delta_f, sample_rate / 2, NOISE_LOW_FREQUENCY)
    with np.errstate(divide="ignore"):  # PyCBC inverts a spectrum that it has cut to zero below 15 Hz
        series = colored_noise(
            FrequencySeries(psd, delta_f=delta_f),
            gps_start,
            gps_start + seconds,
            seed=seed,
            sample_rate=sample_rate,
            low_frequency_cutoff=NOISE_LOW_FREQUENCY,
            filter_duration=128,
        )
    return series.numpy()


def write_noise(
    path: Path | str,
    *,
    psds: Mapping[str, Sequence[str]],
    segments: int,
    segment_seconds: int,
    seed: int,
    detectors: Sequence[str] = ("H1", "L1"),
    sample_rate: int = 2048,
) -> None:
    """Write segments of coloured Gaussian noise, each detector of each segment with a PSD drawn from the list.

    Args:
        path: HDF5 file to write, in the MLGWSC-1 layout.
        psds: Dictionary detector -> list of PSD names or files.
        segments: How many segments.
        segment_seconds: Whole seconds of each; 16 s lie between two.
        seed: Seed of PSD choice and noise.
        detectors: Names.
        sample_rate: Samples per second.
    """
    rng = np.random.default_rng(seed)
    attributes: dict = {"seed": seed, "low_frequency_cutoff": NOISE_LOW_FREQUENCY, "simulated": "Gaussian noise"}
    total = segments * len(detectors) * segment_seconds
    require_space(path, 8 * sample_rate * total)
    with (
        mlgwsc1_file(path, detectors, sample_rate, **attributes) as add,
        Bar(total=total, desc="noise", unit="s") as bar,
    ):
        for start in (GPS_START + i * (segment_seconds + 16) for i in range(segments)):
            for detector in detectors:
                source = str(rng.choice(psds[detector]))
                strain = coloured_noise(
                    source, start, segment_seconds, seed=int(rng.integers(2**31)), sample_rate=sample_rate
                )
                add(detector, start, strain, psd=Path(source).name)
                bar.update(segment_seconds)
