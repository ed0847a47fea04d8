"""Populations of binary black holes, as in the MLGWSC-1 data sets (arXiv 2209.11146, section III)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from keras_gw_resnet.errors import MALFORMED, InputError, first_line
from keras_gw_resnet.inputs import read_yaml

SPINS = ("none", "aligned", "isotropic")
PSD_PER = ("detector", "segment")

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
        psd: Name of the noise spectrum of a simulated set where no other is given.
        psd_per: "detector" or "segment": what a spectrum is drawn for in a simulated set.
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
    psd: str = "aLIGOZeroDetHighPower"
    psd_per: str = "detector"

    def __post_init__(self):
        fault = next(_faults(self), None)
        if fault:
            raise InputError(f"population {self.name!r}: {fault}")

    def to_dict(self) -> dict:
        """Return the prior as a plain dictionary."""
        return asdict(self)


def _is_number(value):
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15


def _faults(prior):
    """Yield what is wrong with a prior."""
    for field in ("spin_max", "f_lower", "f_ref"):
        if not _is_number(getattr(prior, field)):
            yield f"{field} is {getattr(prior, field)!r}; expected a number"
    for field in ("name", "approximant", "psd", "psd_per"):
        if not isinstance(getattr(prior, field), str):
            yield f"{field} is {getattr(prior, field)!r}; expected text"
    for field in ("mass_range", "chirp_distance_range"):
        low, high = getattr(prior, field)
        if not 0 < low <= high:
            yield f"{field} is {low:g}, {high:g}; expected two rising positive numbers"
    if prior.spins not in SPINS:
        yield f"spins is {prior.spins!r}; expected one of {', '.join(SPINS)}"
    if not 0 <= prior.spin_max < 1:
        yield f"spin_max is {prior.spin_max}; expected a magnitude from 0 to below 1"
    if prior.psd_per not in PSD_PER:
        yield f"psd_per is {prior.psd_per!r}; expected one of {', '.join(PSD_PER)}"
    if not prior.f_lower > 0 or not prior.f_ref > 0:
        yield f"f_lower is {prior.f_lower}, f_ref {prior.f_ref}; expected positive frequencies"


# An analytic curve near O3; the challenge's own are estimates from O3a data, which `--psd` takes.
_O3_LIKE = "aLIGOaLIGOO3LowT1800545"
_ALL_MODES = ((2, 2), (2, 1), (3, 3), (3, 2), (4, 4))

POPULATIONS = {
    p.name: p
    for p in (
        Population("set1", mass_range=(10.0, 50.0), spins="none", modes=((2, 2),)),
        Population("set2", mass_range=(7.0, 50.0), spins="aligned", modes=((2, 2),), psd=_O3_LIKE),
        Population(
            "set3", mass_range=(7.0, 50.0), spins="isotropic", modes=_ALL_MODES, psd=_O3_LIKE, psd_per="segment"
        ),
    )
}


def get_population(name: Population | Path | str, derived: Sequence[Path] = ()) -> Population:
    """Return a population by name, or from a YAML file.

    Args:
        derived: Files of populations that are derived from it.
        name: Key in `POPULATIONS`, or path of a YAML file with fields of `Population`; `base` names a population whose
            fields it takes over. Example: `{base: set3, mass_range: [5, 80]}`. A Population is returned as it is.

    Raises:
        InputError: There is none, or the file does not describe one.
    """
    if isinstance(name, Population):
        return name
    if not isinstance(name, str | Path):
        raise InputError(f"population {name!r}: expected a name or a .yaml file")
    if str(name) in POPULATIONS:
        return POPULATIONS[str(name)]
    if Path(name).suffix in (".yaml", ".yml"):
        return _read_population(Path(name), derived)
    raise InputError(f"unknown population {name!r}; expected one of {', '.join(POPULATIONS)}, or a .yaml file")


def _read_population(path, derived):
    given = read_yaml(path, "a population as YAML", otherwise="does not describe a population")
    if path.absolute() in derived:
        raise InputError(f"{path}: is its own base; name another population as base")
    try:
        if not isinstance(given, dict) or not all(isinstance(name, str) for name in given):
            raise TypeError("expected fields and values")
        base = asdict(get_population(given.pop("base"), (*derived, path.absolute()))) if "base" in given else {}
        known = {field.name for field in fields(Population)}
        unknown = sorted(set(given) - known)
        if unknown:
            raise InputError(f"{path}: unknown field {unknown[0]}; known are base, {', '.join(sorted(known))}")
        values: dict = {**base, "name": str(path), **given}
        for field in ("mass_range", "chirp_distance_range"):
            if field in values:
                values[field] = _pair(path, field, values[field])
        if "modes" in values:
            values["modes"] = _modes(path, values["modes"])
        return Population(**values)
    except InputError:
        raise
    except MALFORMED as error:
        raise InputError(f"{path}: does not describe a population ({first_line(error)})") from error


def _modes(path, given):
    if not isinstance(given, list | tuple) or not given:
        raise InputError(f"{path}: modes is {given!r}; expected a list of modes such as [[2, 2], [3, 3]]")
    return tuple(tuple(int(number) for number in _pair(path, "modes", mode)) for mode in given)


def _pair(path, field, value):
    if not isinstance(value, list | tuple) or len(value) != 2 or not all(map(_is_number, value)):
        raise InputError(f"{path}: {field} has {value!r}; expected two numbers")
    return tuple(float(v) for v in value)


def chirp_mass(mass1: np.ndarray, mass2: np.ndarray) -> np.ndarray:
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


def draw(population: Population, number: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
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
