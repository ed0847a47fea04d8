"""Glitches from files and tables of others into a glitch bank."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from keras_gw_resnet.errors import InputError
from keras_gw_resnet.files import HDF5_SUFFIXES
from keras_gw_resnet.hdf5 import attribute, find, open_hdf5, read, require_held, text
from keras_gw_resnet.progress import Bar
from keras_gw_resnet.simulation.glitch_bank import GLITCH_BANK_FORMAT, GlitchBank, join_banks, load_glitches
from keras_gw_resnet.simulation.transients import extract, measured
from keras_gw_resnet.strain.files import DETECTORS
from keras_gw_resnet.strain.gating import TAPER_SECONDS, near_gates

if TYPE_CHECKING:
    from keras_gw_resnet.strain.stretches import WhitenedStretch

# Whitened noise has a deviation of 1; below this an array holds a glitch without noise.
CLEAN_DEVIATION = 0.3
# A norm so near to 1 says that the shape alone is known.
UNIT_NORM = 0.02
# Whitened strain around a glitch that tells its noise and the lines in it, either side.
CONTEXT_SECONDS = 6.0


@dataclass(frozen=True)
class CutOptions:
    """How glitches are cut.

    Attributes:
        seconds: Length of a cut, the glitch in its middle.
        reconstruct: "denoise" subtracts what is not the transient; "whole" keeps the noise of the cut.
    """

    seconds: float = 4.0
    reconstruct: str = "denoise"


class Cutter:
    """Collect cuts of glitches and make a bank of them.

    Args:
        sample_rate: Samples per second.
        options: CutOptions.

    Attributes:
        left_out: How many did not stand out of their noise.
        gated: How many lie in strain that is gated.
    """

    def __init__(self, sample_rate: int, options: CutOptions) -> None:
        self.sample_rate, self.options, self.left_out, self.gated = sample_rate, options, 0, 0
        self._rows = []

    def add(
        self,
        strain: np.ndarray,
        *,
        detector: str,
        label: str,
        source: Any,
        snr: float = np.nan,
        gps: float = np.nan,
        middle: float | None = None,
        gates: Any = (),
    ) -> None:
        """Cut one glitch.

        Args:
            strain: Whitened array (samples,).
            detector, label, source: Text.
            snr: SNR that its source says; of glitches without noise and of denoised ones it is measured.
            gps: GPS time of the array's first sample, or NaN.
            middle: Index at which it is; None: in the middle.
            gates: GPS (start, stop) of strain that is tapered out: what is found there, or nearby, is no glitch.
        """
        strain = np.asarray(strain, np.float64)
        clean = np.median(np.abs(strain)) * 1.4826 < CLEAN_DEVIATION
        transient = measured(strain, self.sample_rate) if clean else extract(strain, self.sample_rate, middle)
        whole = not clean and self.options.reconstruct == "whole"
        asked = round(len(strain) / 2 if middle is None else middle)
        at = transient.sample if transient else asked
        # What tapering leaves of lines looks like a glitch, and is none.
        if near_gates(gps + np.array([asked, at]) / self.sample_rate, gates, TAPER_SECONDS).any():
            self.gated += 1  # too loud: what is searched does not show it
            return
        if transient is None and not whole:
            self.left_out += 1
            return
        if not whole:
            snr = np.nan if clean and abs(transient.snr - 1) < UNIT_NORM else transient.snr
        samples = round(self.options.seconds * self.sample_rate)
        cut, first = np.zeros(samples, np.float32), at - samples // 2
        begin, end = max(0, first), min(len(strain), first + samples)
        cut[begin - first : end - first] = (strain if whole else transient.strain)[begin:end]
        how = "whole" if whole else "clean" if clean else "denoised"
        self._rows.append((cut, detector, label, snr, gps + at / self.sample_rate, how, source))

    @property
    def found(self) -> int:
        """How many glitches were cut."""
        return len(self._rows)

    def has(self, detector: str, gps: float, seconds: float) -> bool:
        """Say whether a glitch of this detector was cut within so many seconds of a GPS time."""
        return any(row[1] == detector and abs(row[4] - gps) < seconds for row in self._rows[-100:])

    def bank(self, path: Path | str) -> GlitchBank:
        """Return the GlitchBank of what was added.

        Raises:
            InputError: Nothing was.
        """
        if not self._rows:
            gated = f" and {self.gated} gated: too loud for a search to show them" if self.gated else ""
            raise InputError(
                f"{path}: no glitch can be cut: {self.left_out} do not stand out of their noise "
                f"(--reconstruct whole takes them with it){gated}"
            )
        cuts, detector, label, snr, gps, how, source = zip(*self._rows, strict=True)
        text = (np.array(values, str) for values in (detector, label, how, source))
        detector, label, how, source = text
        return GlitchBank(np.stack(cuts), detector, label, np.array(snr), np.array(gps), how, source, self.sample_rate)


def import_arrays(
    path: Path | str,
    options: CutOptions,
    *,
    detector: str | None = None,
    label: str | None = None,
    sample_rate: int | None = None,
) -> tuple[GlitchBank, int]:
    """Import glitches from a file of whitened arrays.

    Takes HDF5 with a group a detector (`strain` (n, samples) and perhaps `snr` and `label`), or a dataset a detector; a
    glitch bank; .npz with an array a detector, or with `strain` and perhaps `detector`, `label` and `snr` (n,); and .npy or one HDF5
    dataset with the glitches of one detector.

    Args:
        path: File.
        options: CutOptions.
        detector, label, sample_rate: Of arrays that do not say them.

    Returns:
        Tuple (GlitchBank, number left out because they do not stand out of their noise).

    Raises:
        InputError: The file cannot be read, or does not say what is needed.
    """
    path = Path(path)
    if path.suffix in HDF5_SUFFIXES and _format(path) == GLITCH_BANK_FORMAT:
        return _recut(load_glitches(path), options, path)
    groups, rate, source = _read_arrays(path, detector)
    if (rate or sample_rate) is None:
        raise InputError(f"{path}: does not say its sample rate; give --sample-rate")
    cutter = Cutter(int(rate or sample_rate), options)  # ty: ignore[invalid-argument-type]
    total = sum(len(strain) for _, strain, _, _ in groups)
    with Bar(total=total, desc=path.name, unit="glitch") as bar:
        for name, strain, labels, snrs in groups:
            for row, values in enumerate(strain):
                named = str(labels[row]) if labels is not None else (label or "unknown")
                snr = float(snrs[row]) if snrs is not None else np.nan
                cutter.add(values, detector=name, label=named, snr=snr, source=source)
                bar.update()
    return cutter.bank(path), cutter.left_out


def _recut(bank, options, path):
    """Return a bank, its whole cuts denoised where the options say so, and how many do not stand out of their noise."""
    whole = bank.reconstruction == "whole"
    if options.reconstruct == "whole" or not (bank.whitened and whole.any()):
        return bank, 0
    cutter = Cutter(bank.sample_rate, CutOptions(bank.strain.shape[1] / bank.sample_rate, options.reconstruct))
    for row in np.flatnonzero(whole):
        kept = {name: getattr(bank, name)[row] for name in ("detector", "label", "source")}
        gps = bank.gps[row] - bank.strain.shape[1] // 2 / bank.sample_rate
        cutter.add(bank.strain[row], snr=bank.snr[row], gps=gps, **kept)
    banks = [] if whole.all() else [bank.select(~whole)]
    if cutter.found or not banks:
        banks.append(cutter.bank(path))
    return join_banks(banks), cutter.left_out


def _format(path):
    with open_hdf5(path, "glitches") as file:
        return attribute(file, "format")


def _read_arrays(path, detector):
    """Return (list of (detector, strain (n, samples), labels, snrs), sample rate or None, source)."""
    try:
        if path.suffix in HDF5_SUFFIXES:
            with open_hdf5(path, "glitches") as file:
                found = _in_hdf5(path, file, detector)
        elif path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                found = _in_npz(path, arrays, detector)
        else:
            found = [(detector, np.load(path, allow_pickle=False), None, None)], None, path.name
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; expected glitches") from error
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: cannot be read; expected glitches as HDF5, .npz, .npy or .csv") from error
    for name, strain, labels, snrs in found[0]:
        if name not in DETECTORS:
            raise InputError(f"{path}: does not say of which detector its glitches are; give --detector")
        if strain.ndim != 2 or strain.dtype.kind != "f" or not np.all(np.isfinite(strain)) or not len(strain):
            raise InputError(f"{path}: glitches of {name} have shape {strain.shape}; expected finite (n, samples)")
        if any(values is not None and len(values) != len(strain) for values in (labels, snrs)):
            raise InputError(f"{path}: {name} has another number of labels or SNRs than of glitches")
    return found


def _in_hdf5(path, file, detector):
    rate, source = file.attrs.get("sample_rate"), str(file.attrs.get("source", path.name))
    if not file.attrs.get("whitened", True):
        raise InputError(f"{path}: holds strain that is not whitened; give it as a table with the strain files")
    groups = []
    for name in [name for name in DETECTORS if name in file]:
        entry, kind = find(file, name), "Blip" if "blip" in path.name.lower() else None
        if isinstance(entry, h5py.Dataset):
            labels = None if kind is None else [kind] * len(entry)
            groups.append((name, require_held(entry)[()], labels, None))
        else:
            if "strain" not in entry:
                raise InputError(
                    f"{path}: {name} has no array 'strain' of glitches; strain files are given with --strain, beside a table, "
                    "or to 'glitches mine'"
                )
            labels = [text(value) for value in read(entry, "label", kinds="OS")] if "label" in entry else None
            groups.append((name, read(entry, "strain"), labels, read(entry, "snr") if "snr" in entry else None))
    if not groups:
        datasets = [entry for entry in file.values() if isinstance(entry, h5py.Dataset) and entry.ndim == 2]
        if len(datasets) != 1:
            raise InputError(f"{path}: holds no groups of detectors and {len(datasets)} arrays; expected one")
        groups = [(detector, require_held(datasets[0])[()], None, None)]
    return groups, rate, source


def _in_npz(path, arrays, detector):
    rate = None if (given := arrays.get("sample_rate")) is None else int(given)
    if "strain" not in arrays:
        if own := [name for name in DETECTORS if name in arrays]:
            return [(name, arrays[name], None, None) for name in own], rate, path.name
        raise InputError(
            f"{path}: has {', '.join(arrays)}; expected an array (n, samples) for each detector, named H1, L1, ..., or 'strain'"
        )
    given = {name: arrays.get(name) for name in ("label", "snr", "detector")}
    names = (
        np.full(len(arrays["strain"]), detector or "") if given["detector"] is None else given["detector"].astype(str)
    )
    strain, groups = arrays["strain"], []
    for name in np.unique(names):
        own = [None if given[key] is None else given[key][names == name] for key in ("label", "snr")]
        groups.append((str(name), strain[names == name], *own))
    return groups, rate, path.name


def cut_from_stretch(
    cutter: Cutter, stretch: WhitenedStretch, column: int, at: float, label: str, source: Any, snr: float = np.nan
) -> None:
    """Cut the glitch at so many seconds of a WhitenedStretch."""
    rate = stretch.sample_rate
    first = max(0, round((at - CONTEXT_SECONDS) * rate))
    strain = stretch.strain[first : round((at + CONTEXT_SECONDS) * rate), column]
    gps = stretch.gps_start + first / rate
    name = stretch.detectors[column]
    gates = stretch.gates[column] if stretch.gates else ()
    cutter.add(
        strain, detector=name, label=label, source=source, snr=snr, gps=gps, middle=at * rate - first, gates=gates
    )
