"""Test sets that are simulated once and kept, each in a folder whose name says what it follows from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_gw_resnet.files import written_aside
from keras_gw_resnet.simulation.populations import get_population
from keras_gw_resnet.simulation.sets import FILES, psds_of, write_set

if TYPE_CHECKING:
    from keras_gw_resnet.simulation.real_noise import RealNoise
    from keras_gw_resnet.simulation.set_glitches import SetGlitches


def kept_set(
    home: Path,
    population: Any,
    *,
    duration_seconds: float,
    seed: int,
    psds: Sequence[Path | str],
    detectors: Sequence[str],
    sample_rate: int,
    noise: RealNoise | None = None,
    glitches: SetGlitches | None = None,
) -> tuple[Path, bool]:
    """Return the folder of a simulated set, simulated unless that has been done before.

    Args:
        home: Folder of all kept sets.
        population: Name, or YAML file.
        duration_seconds, seed, psds, detectors, sample_rate, noise, glitches: As for `write_set`.

    Returns:
        Tuple (folder, whether it was simulated now).

    Raises:
        InputError: As `write_set`.
    """
    spectra = psds_of(psds, detectors)
    # All that the set follows from, so that another one is never taken for it.
    stated = [get_population(population).to_dict(), duration_seconds, seed, sample_rate, list(detectors)]
    stated += [[_content(source) for source in own] for own in spectra.values()]
    # Appended where they are given alone, so that sets that were kept before are found.
    stated += [] if noise is None else [noise.identity()]
    stated += [] if glitches is None else [glitches.fingerprint, glitches.rates]
    mark = hashlib.sha256(json.dumps(stated, sort_keys=True).encode()).hexdigest()[:8]
    folder = Path(home) / f"{Path(population).stem}-{duration_seconds}s-seed{seed}-{mark}"
    if all((folder / file).exists() for file in FILES):
        return folder, False
    with written_aside(folder) as aside:
        aside.mkdir()
        options: dict = {"duration_seconds": duration_seconds, "seed": seed, "psds": psds}
        options |= {"noise": noise, "glitches": glitches}
        write_set(aside, population, detectors=detectors, sample_rate=sample_rate, **options)
    return folder, True


def _content(source):
    """Return what tells a noise spectrum from others: its name, or of a file the hash of what is in it."""
    path = Path(source)
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else str(source)
