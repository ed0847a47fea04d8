"""Populations of binary black holes, as in the MLGWSC-1 data sets (arXiv 2209.11146, section III)."""

from dataclasses import dataclass

import numpy as np

from keras_gw_resnet.errors import InputError

Modes = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Population:
    """Prior of a population; masses in the detector frame.

    Attributes:
        name: Key in `POPULATIONS`.
        mass_range: Both component masses are uniform in it (solar masses), the larger is mass1.
        spins: "none", "aligned" (z component uniform in +-`spin_max`) or "isotropic" (magnitude uniform).
        spin_max: Largest dimensionless spin magnitude.
        modes: (l, m) of the waveform modes.
        chirp_distance_range: In Mpc; uniform in volume.
        approximant: Waveform model.
        f_lower: Start frequency in Hz.
        f_ref: Frequency in Hz at which the spins are given.
    """

    name: str
    mass_range: tuple[float, float]
    spins: str
    modes: Modes
    spin_max: float = 0.99
    chirp_distance_range: tuple[float, float] = (130.0, 350.0)
    approximant: str = "IMRPhenomXPHM"
    f_lower: float = 20.0
    f_ref: float = 20.0


_ALL_MODES = ((2, 2), (2, 1), (3, 3), (3, 2), (4, 4))

POPULATIONS = {
    p.name: p
    for p in (
        Population("set1", mass_range=(10.0, 50.0), spins="none", modes=((2, 2),)),
        Population("set2", mass_range=(7.0, 50.0), spins="aligned", modes=((2, 2),)),
        Population("set3", mass_range=(7.0, 50.0), spins="isotropic", modes=_ALL_MODES),
    )
}


def get_population(name):
    """Return the population of that name.

    Raises:
        InputError: There is none.
    """
    if name not in POPULATIONS:
        raise InputError(f"unknown population {name!r}; expected one of {', '.join(POPULATIONS)}")
    return POPULATIONS[name]


def chirp_mass(mass1, mass2):
    """Return the chirp mass in the unit of the masses."""
    return (mass1 * mass2) ** 0.6 / (mass1 + mass2) ** 0.2


def _spins(rng, population, number):
    if population.spins == "none":
        return np.zeros((number, 3))
    if population.spins == "aligned":
        z = rng.uniform(-population.spin_max, population.spin_max, number)
        return np.stack([np.zeros(number), np.zeros(number), z], axis=-1)
    magnitude = rng.uniform(0, population.spin_max, number)
    cosine, azimuth = rng.uniform(-1, 1, number), rng.uniform(0, 2 * np.pi, number)
    sine = np.sqrt(1 - cosine**2)
    return magnitude[:, None] * np.stack([sine * np.cos(azimuth), sine * np.sin(azimuth), cosine], axis=-1)


def draw(population, number, rng):
    """Draw the parameters of binaries.

    Args:
        population: Population.
        number: How many.
        rng: numpy Generator.

    Returns:
        Dictionary of float64 arrays (number,): mass1, mass2, mchirp, q, spin1x ... spin2z, inclination,
        coa_phase, polarization, ra, dec (radians), chirp_distance and distance (Mpc).
    """
    masses = np.sort(rng.uniform(*population.mass_range, (number, 2)), axis=-1)[:, ::-1]
    mass1, mass2 = masses[:, 0], masses[:, 1]
    mchirp = chirp_mass(mass1, mass2)
    spin1, spin2 = _spins(rng, population, number), _spins(rng, population, number)
    near, far = population.chirp_distance_range
    chirp_distance = rng.uniform(near**3, far**3, number) ** (1 / 3)
    parameters = {
        "mass1": mass1,
        "mass2": mass2,
        "mchirp": mchirp,
        "q": mass1 / mass2,
        "inclination": np.arccos(rng.uniform(-1, 1, number)),
        "coa_phase": rng.uniform(0, 2 * np.pi, number),
        "polarization": rng.uniform(0, 2 * np.pi, number),
        "ra": rng.uniform(0, 2 * np.pi, number),
        "dec": np.arcsin(rng.uniform(-1, 1, number)),
        "chirp_distance": chirp_distance,
        # Chirp distance scales out the chirp mass against a binary of twice 1.4 solar masses.
        "distance": chirp_distance * (mchirp / (1.4 / 2**0.2)) ** (5 / 6),
    }
    for body, spin in (("1", spin1), ("2", spin2)):
        for axis, component in zip("xyz", spin.T, strict=True):
            parameters[f"spin{body}{axis}"] = component
    return parameters
