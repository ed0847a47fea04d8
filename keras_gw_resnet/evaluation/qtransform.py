"""Constant-Q time-frequency maps of whitened strain (S. Chatterji et al., Class. Quantum Grav. 21, S1809, 2004)."""

import numpy as np

LOWEST_HZ, HIGHEST_HZ, FREQUENCIES = 20.0, 800.0, 96
# Centre frequency over bandwidth, about the number of cycles in a window.
Q = 8.0


def constant_q(strain: np.ndarray, sample_rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Compute the energy of whitened strain in Gaussian windows of constant Q.

    Args:
        strain: Array (samples,), whitened.
        sample_rate: Samples per second.

    Returns:
        Tuple (frequency, energy): float64 arrays (frequencies,), evenly spaced in logarithm from 20 to 800 Hz or to a quarter of
        the sample rate, and (frequencies, samples), 1 on average in stationary noise.
    """
    frequency = np.geomspace(LOWEST_HZ, min(HIGHEST_HZ, sample_rate / 4), FREQUENCIES)
    strain = np.asarray(strain, np.float64)
    transform, bins = np.fft.fft(strain), np.fft.fftfreq(len(strain), 1 / sample_rate)
    width = frequency[:, None] / Q
    window = np.exp(-0.5 * ((bins - frequency[:, None]) / width) ** 2) * (bins > 0)
    energy = np.abs(np.fft.ifft(transform * window, axis=-1)) ** 2
    # The energy of noise in a window is exponentially distributed: its mean is its median over log 2.
    return frequency, energy / (np.median(energy, axis=-1, keepdims=True) / np.log(2))
