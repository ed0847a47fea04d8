"""Signal-to-noise ratios that fall with a power."""

import numpy as np

LARGEST_SNR = 1000.0
# Steeper laws leave nothing but the lowest SNR, and numbers that float64 does not hold.
STEEPEST = 10


def power_law(low: float, high: float, power: float, share: np.ndarray) -> np.ndarray:
    """Return the SNR below which a share of them lies, where their density falls with a power.

    Args:
        low, high: Range.
        power: 0, all alike; 1, uniform in the logarithm; 4, sources uniform in volume.
        share: float64 array from 0 to 1.

    Returns:
        float64 array like `share`.
    """
    if power == 1:
        return low * (high / low) ** share
    exponent = 1 - power
    return (low**exponent + share * (high**exponent - low**exponent)) ** (1 / exponent)
