"""Waveform banks: both polarisations of many binaries in one HDF5 file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_gw_resnet.errors import InputError
from keras_gw_resnet.files import HDF5_SUFFIXES, new_hdf5, require_space, written_aside
from keras_gw_resnet.hdf5 import attribute, find, open_hdf5, read, text
from keras_gw_resnet.simulation.detectors import Geometry

BANK_FORMAT = "keras_gw_resnet waveform bank 1"


@dataclass(frozen=True)
class WaveformBank:
    """Waveforms of a population, aligned at coalescence.

    Attributes:
        hplus, hcross: float32 arrays (n, samples), strain at the distance drawn from the population.
        parameters: Dictionary of float64 arrays (n,).
        sample_rate: Samples per second.
        merger_sample: Index of the coalescence time in every waveform.
        detectors: Dictionary name -> Geometry.
        population: Name of the population.
        seed: Seed they were drawn with.
    """

    hplus: np.ndarray
    hcross: np.ndarray
    parameters: dict
    sample_rate: int
    merger_sample: int
    detectors: dict
    population: str
    seed: int

    def __len__(self) -> int:
        return len(self.hplus)

    def subset(self, start: int, stop: int) -> WaveformBank:
        """Return the bank of waveforms [start, stop), without copying."""
        return WaveformBank(
            self.hplus[start:stop],
            self.hcross[start:stop],
            {k: v[start:stop] for k, v in self.parameters.items()},
            self.sample_rate,
            self.merger_sample,
            self.detectors,
            self.population,
            self.seed,
        )

    def fingerprint(self) -> str:
        """Return a short sha256 of the binaries, to tell which bank a network was trained on.

        It is of their parameters in single precision: the last bits of a waveform differ between processors.
        """
        digest = hashlib.sha256()
        for name in sorted(self.parameters):
            digest.update(name.encode())
            digest.update(np.asarray(self.parameters[name], "<f4").tobytes())
        return digest.hexdigest()[:16]


def is_bank(path: Path | str) -> bool:
    """Say whether the HDF5 file is a waveform bank.

    Raises:
        InputError: The file cannot be read as HDF5.
    """
    otherwise = "is no HDF5 file, or a truncated one; write it again or take it away"
    with open_hdf5(path, otherwise=otherwise) as file:
        return text(attribute(file, "format", "")) == BANK_FORMAT


def save_bank(bank: WaveformBank, path: Path | str) -> None:
    """Write a bank to HDF5, whole or not at all."""
    require_space(path, bank.hplus.nbytes + bank.hcross.nbytes)
    with written_aside(path) as aside, new_hdf5(aside) as file:
        file.attrs.update(
            format=BANK_FORMAT,
            sample_rate=bank.sample_rate,
            merger_sample=bank.merger_sample,
            population=bank.population,
            seed=bank.seed,
        )
        for name in ("hplus", "hcross"):
            waveforms = getattr(bank, name)
            file.create_dataset(name, data=waveforms, chunks=(1, waveforms.shape[1]), compression="gzip", shuffle=True)
        for name, values in bank.parameters.items():
            file[f"parameters/{name}"] = values
        for name, geometry in bank.detectors.items():
            file[f"detectors/{name}/location"] = geometry.location
            file[f"detectors/{name}/response"] = geometry.response


def load_bank(path: Path | str) -> WaveformBank:
    """Read a waveform bank.

    Raises:
        InputError: The file is missing, damaged, or no bank.
    """
    if not Path(path).exists():
        raise InputError(f"{path}: no such file; make a bank with 'keras-gw-resnet simulate bank'")
    otherwise = "is no waveform bank, or a damaged one, or its parts do not fit together; make it again"
    with open_hdf5(path, "a waveform bank", otherwise) as file:
        if text(attribute(file, "format", "")) != BANK_FORMAT:
            raise InputError(f"{path}: is no waveform bank; make one with 'keras-gw-resnet simulate bank'")
        number, samples = find(file, "hplus").shape
        bank = WaveformBank(
            hplus=read(file, "hplus", kinds="f"),
            hcross=read(file, "hcross", shape=(number, samples), kinds="f"),
            parameters={name: read(file, f"parameters/{name}", shape=(number,)) for name in file["parameters"]},
            sample_rate=int(attribute(file, "sample_rate")),
            merger_sample=int(attribute(file, "merger_sample")),
            detectors={
                name: Geometry(
                    name,
                    read(file, f"detectors/{name}/location", shape=(3,)),
                    read(file, f"detectors/{name}/response", shape=(3, 3)),
                )
                for name in file["detectors"]
            },
            population=text(attribute(file, "population")),
            seed=int(attribute(file, "seed")),
        )
    shape = bank.hplus.shape
    sound = (
        len(shape) == 2
        and bank.hcross.shape == shape
        and bank.hplus.dtype.kind == bank.hcross.dtype.kind == "f"
        and 0 <= bank.merger_sample < shape[1]
        and bank.sample_rate > 0
        and all(np.all(np.isfinite(values)) for values in bank.parameters.values())
        and all(np.all(np.isfinite(g.location)) and np.all(np.isfinite(g.response)) for g in bank.detectors.values())
    )
    if not sound:
        raise InputError(f"{path}: the parts of the waveform bank do not fit together; make it again")
    power = np.einsum("ij,ij->i", bank.hplus * 1e21, bank.hplus * 1e21) + np.einsum(
        "ij,ij->i", bank.hcross * 1e21, bank.hcross * 1e21
    )
    bad = np.flatnonzero(~np.isfinite(power) | (power <= 0))
    if len(bad):
        raise InputError(f"{path}: waveform {bad[0]} is empty or not finite; make the bank again")
    return bank


def find_bank(folder: Path | str) -> WaveformBank:
    """Load the one waveform bank in a folder.

    Raises:
        InputError: The folder is missing, or holds none or several.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; --data takes a folder with strain files and a waveform bank")
    banks = [path for path in sorted(folder.iterdir()) if path.suffix in HDF5_SUFFIXES and is_bank(path)]
    if len(banks) != 1:
        found = f"{len(banks)} waveform banks" if banks else "no waveform bank"
        remedy = f"make one with 'keras-gw-resnet simulate bank --number 2000 --output {folder}/bank.hdf'"
        raise InputError(f"{folder}: {found} there, expected one; {'take the others away' if banks else remedy}")
    return load_bank(banks[0])
