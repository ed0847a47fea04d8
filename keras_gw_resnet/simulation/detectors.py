"""Detector geometry, and how strain arrives at a detector, in plain arrays.

Positions and response matrices come from LAL; they travel inside a waveform bank, so that a training needs no LAL (but with --ranking.templates).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from keras_gw_resnet.errors import InputError

SPEED_OF_LIGHT = 299792458.0


@dataclass(frozen=True)
class Geometry:
    """Where a detector stands and how it responds.

    Attributes:
        name: "H1", "L1", ...
        location: Earth-fixed position in metres, array (3,).
        response: Response tensor, array (3, 3), dimensionless.
    """

    name: str
    location: np.ndarray
    response: np.ndarray


def lal_geometry(name: str) -> Geometry:
    """Return the Geometry of a detector that LAL knows.

    Raises:
        InputError: LAL does not know it.
    """
    import lal

    if name not in lal.cached_detector_by_prefix:
        raise InputError(f"unknown detector {name!r}; expected a prefix such as H1, L1, V1 or K1")
    detector = lal.cached_detector_by_prefix[name]
    return Geometry(name, np.array(detector.location, float), np.array(detector.response, float))


def antenna_pattern(
    geometry: Geometry, longitude: np.ndarray, declination: np.ndarray, polarization: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return F+ and Fx (arXiv gr-qc/0008066, eq. B7) for sources at Earth-fixed longitude = ra - GMST.

    Args:
        geometry: Geometry.
        longitude, declination, polarization: Radians, arrays (n,).

    Returns:
        Tuple of float64 arrays (n,).
    """
    # With the Greenwich hour angle -longitude.
    sin_h, cos_h = np.sin(-longitude), np.cos(-longitude)
    sin_d, cos_d = np.sin(declination), np.cos(declination)
    sin_p, cos_p = np.sin(polarization), np.cos(polarization)
    x = np.stack([-cos_p * sin_h - sin_p * cos_h * sin_d, -cos_p * cos_h + sin_p * sin_h * sin_d, sin_p * cos_d])
    y = np.stack([sin_p * sin_h - cos_p * cos_h * sin_d, sin_p * cos_h + cos_p * sin_h * sin_d, cos_p * cos_d])
    dx, dy = geometry.response @ x, geometry.response @ y
    return np.sum(x * dx - y * dy, axis=0), np.sum(x * dy + y * dx, axis=0)


def arrival_delay(geometry: Geometry, longitude: np.ndarray, declination: np.ndarray) -> np.ndarray:
    """Return the delay in seconds of the arrival at the detector against that at the Earth's centre, array (n,)."""
    direction = np.stack(
        [np.cos(declination) * np.cos(longitude), np.cos(declination) * np.sin(longitude), np.sin(declination)]
    )
    return -(geometry.location @ direction) / SPEED_OF_LIGHT
