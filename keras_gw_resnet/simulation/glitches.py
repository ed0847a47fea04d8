"""Simulated glitches: short disturbances of one detector, in the families that searches meet most."""

import numpy as np


def sine_gaussian(rng: np.random.Generator, time: np.ndarray, duration: float) -> np.ndarray:
    """Oscillate at one frequency, 20 to 500 Hz, under a Gaussian of quality factor 3 to 30 (arXiv gr-qc/0412119).

    Args:
        rng: numpy Generator.
        time: float64 array (n, samples), seconds from the middle of the glitch.
        duration: Seconds of the window; glitches that last as long as it are cut by it.

    Returns:
        float64 array (n, samples), arbitrary amplitude.
    """
    frequency, quality = _frequency(rng, len(time), 20, 500), rng.uniform(3, 30, (len(time), 1))
    return _burst(rng, time, frequency, quality)


def blip(rng: np.random.Generator, time: np.ndarray, duration: float) -> np.ndarray:
    """Make one or two broad swings within some ten milliseconds, 30 to 250 Hz (arXiv 1808.06104); see `sine_gaussian`."""
    frequency, quality = _frequency(rng, len(time), 30, 250), rng.uniform(0.7, 2.5, (len(time), 1))
    return _burst(rng, time, frequency, quality)


def scattering_arch(rng: np.random.Generator, time: np.ndarray, duration: float) -> np.ndarray:
    """Rise to 20 to 90 Hz and fall again, as light scattered off a swinging mirror (arXiv 2007.14876); see `sine_gaussian`.

    The phase is that of a harmonic motion, so that the frequency draws an arch whose feet are half a swing apart.
    """
    highest, swing = _frequency(rng, len(time), 20, 90), rng.uniform(0.25, 1.0, (len(time), 1)) * 2 * duration
    phase = highest * swing * np.sin(2 * np.pi * time / swing)
    inside = np.abs(time) < swing / 4
    return np.where(inside, np.cos(phase + _angle(rng, len(time))) * np.cos(2 * np.pi * time / swing) ** 2, 0.0)


FAMILIES = {"sine-Gaussian": sine_gaussian, "blip": blip, "scattering arch": scattering_arch}


def _frequency(rng, number, low, high):
    return np.exp(rng.uniform(np.log(low), np.log(high), (number, 1)))


def _angle(rng, number):
    return rng.uniform(0, 2 * np.pi, (number, 1))


def _burst(rng, time, frequency, quality):
    envelope = np.exp(-((2 * np.pi * frequency * time / quality) ** 2) / 2)
    return envelope * np.cos(2 * np.pi * frequency * time + _angle(rng, len(time)))


def draw_glitches(
    rng: np.random.Generator, number: int, samples: int, sample_rate: int, *, middle: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Draw glitches of random families.

    Args:
        rng: numpy Generator.
        number: How many.
        samples: Length of the window.
        sample_rate: Samples per second.
        middle: Where the middle of each lies, in samples; None: at random places of the window.

    Returns:
        Tuple (glitches, family): float32 array (number, samples) of amplitude about one, and integer array (number,),
        index into `FAMILIES`.
    """
    family = rng.integers(len(FAMILIES), size=number)
    places = rng.uniform(0.1, 0.9, (number, 1)) * samples if middle is None else np.full((number, 1), middle)
    time = np.arange(samples) / sample_rate - places / sample_rate
    glitches = np.empty((number, samples), np.float32)
    for index, make in enumerate(FAMILIES.values()):
        chosen = family == index
        glitches[chosen] = make(rng, time[chosen], samples / sample_rate)
    return glitches, family
