"""From a data folder to training and validation batches."""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from keras_gw_resnet.datasets.batches import InjectionBatches
from keras_gw_resnet.datasets.hard import HardNoise
from keras_gw_resnet.datasets.noise import FileNoise, MixedNoise, gaussian_noise, split_stretches
from keras_gw_resnet.datasets.windows import LabelledWindows, check_windows, open_windows, sample_of, split_windows
from keras_gw_resnet.errors import InputError
from keras_gw_resnet.files import HDF5_SUFFIXES, require_space
from keras_gw_resnet.progress import Bar
from keras_gw_resnet.simulation.bank import WaveformBank, is_bank, load_bank
from keras_gw_resnet.simulation.sets import psds_of
from keras_gw_resnet.strain.files import find_segments
from keras_gw_resnet.strain.stretches import Coverage, coincident_intervals, shortage, whitened_stretches
from keras_gw_resnet.training.metric import Metric, labelled_metric, simulated_metric

# Batches of the validation set are drawn with a seed of their own.
VALIDATION_SEED = 1_000_003


@dataclass(frozen=True)
class Batches:
    """Training and validation batches, and what they are made of.

    Attributes:
        training, validation: InjectionBatches or LabelledWindows.
        held_out_bank: Waveforms held out; None where windows came with their labels.
        metric: What epochs are judged by; None where labelled windows are too few to show a false-alarm probability.
        provenance: For the card.
        description: For the user.
    """

    training: InjectionBatches | LabelledWindows
    validation: InjectionBatches | LabelledWindows
    held_out_bank: WaveformBank | None
    metric: Metric | None
    provenance: dict
    description: str


def find_bank(folder):
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


def read_noise(folder, headers, detectors, whitening, window_samples):
    """Whiten all strain that the detectors have in common, to draw windows of noise from.

    The whitened strain goes into a nameless temporary file that is mapped into memory, so that it may be longer than
    memory holds; it is gone when the process ends.

    Args:
        folder: Where the strain comes from, for messages.
        headers: SegmentHeader list, as from `find_segments`.
        detectors: In column order.
        whitening: Whitening.
        window_samples: Shortest stretch of use.

    Returns:
        Tuple (list of WhitenedStretch, Coverage).

    Raises:
        InputError: A detector absent, no stretch as long as needed, or no room for the temporary file.
    """
    coverage, stretches = Coverage(), []
    total = round(sum(interval.stop - interval.start for interval in coincident_intervals(headers, detectors)))
    aside = Path(tempfile.gettempdir()) / "whitened strain"
    require_space(
        aside, 4 * total * whitening.sample_rate * len(detectors), "set TMPDIR to a folder on a disk with more room"
    )
    with (
        Bar(total=total, desc="whitening", unit="s") as bar,
        tempfile.TemporaryFile() as file,
    ):
        for stretch in whitened_stretches(
            headers, detectors, whitening, window_samples=window_samples, coverage=coverage
        ):
            file.write(np.ascontiguousarray(stretch.strain.T))
            # Of what has been written, the shape alone is kept.
            stretches.append(replace(stretch, strain=np.broadcast_to(np.float32(0), stretch.strain.shape)))
            bar.update(round(stretch.seconds))
        if not stretches:
            raise InputError(f"{folder}: {shortage(coverage, whitening, window_samples)}")
        file.flush()
        mapped, at = np.memmap(file, np.float32, "r"), 0
    for i, stretch in enumerate(stretches):
        own = mapped[at : at + stretch.strain.size].reshape(len(detectors), -1)
        stretches[i], at = replace(stretch, strain=own.T), at + own.size
    return stretches, coverage


def _check_bank(bank, config):
    if bank.sample_rate != config.whitening.sample_rate:
        raise InputError(
            f"{config.data}: the waveform bank is sampled at {bank.sample_rate} Hz; expected {config.whitening.sample_rate} Hz"
        )
    if len(bank) < 2:
        raise InputError(f"{config.data}: the waveform bank holds {len(bank)} waveform; expected at least 2")


def split_noise(config):
    """Return the noise of a training run, and what of it is held out for validation.

    Args:
        config: TrainingConfig.

    Returns:
        Tuple (noise, held-out noise, dictionary of where it is from), the first two FileNoise, GaussianNoise or MixedNoise.

    Raises:
        InputError: Strain or spectra that are missing or do not fit.
    """
    origin = {"noise": config.noise}
    if config.noise != "files":
        found = psds_of(config.psd, config.detectors)
        gaussian = noise = held_out = gaussian_noise(found, config.window_samples, config.whitening)
        origin["psds"] = {d: [Path(source).name for source in own] for d, own in found.items()}
    if config.noise != "gaussian":
        headers = find_segments(config.data, config.quality)
        stretches, coverage = read_noise(
            config.data, headers, config.detectors, config.whitening, config.window_samples
        )
        kept, rest = split_stretches(stretches, config.validation_share)
        try:
            noise, held_out = FileNoise(kept, config.window_samples), FileNoise(rest, config.window_samples)
        except InputError as error:
            raise InputError(
                f"{config.data}: {coverage.whitened:g} s of usable strain are too few to train and to hold out "
                f"{config.validation_share:g} of it ({error}); give more, or train with --noise gaussian"
            ) from error
        origin.update(
            files=sorted({Path(h.path).name for h in headers}),
            gps_intervals=noise.intervals,
            held_out_gps_intervals=held_out.intervals,
        )
    if config.noise == "both":
        noise, held_out = MixedNoise(noise, gaussian), MixedNoise(held_out, gaussian)
    return noise, held_out, origin


def _hard_noise(config):
    """Read the hard windows of a run: (strain, where they are from)."""
    header = open_windows(config.hard_noise)
    header.require(config.window_samples, config.detectors, config.whitening.sample_rate, "the run asks for")
    if np.any(header.label):
        raise InputError(f"{config.hard_noise}: holds signals; --hard-noise takes windows of noise")
    rows = np.arange(header.number)
    if not len(rows):
        raise InputError(f"{config.hard_noise}: holds no window")
    strain = LabelledWindows(header, rows, batch_size=len(rows), seed=None)[0][0]
    return strain, {"file": Path(config.hard_noise).name, "windows": header.number, "source": header.source}


def load_batches(config):
    """Read the data of a training run, the end of each noise stretch and of the bank held out for validation.

    Args:
        config: TrainingConfig.

    Returns:
        Batches.

    Raises:
        InputError: Data that are missing or do not fit.
    """
    if Path(config.data).is_file():
        return _labelled(config)
    bank = find_bank(config.data)
    _check_bank(bank, config)
    kept_waveforms = max(1, min(len(bank) - 1, round(len(bank) * (1 - config.validation_share))))
    training_bank, held_out_bank = bank.subset(0, kept_waveforms), bank.subset(kept_waveforms, len(bank))
    provenance = {
        "bank": {
            "population": bank.population,
            "seed": bank.seed,
            "fingerprint": bank.fingerprint(),
            "waveforms": kept_waveforms,
        },
    }
    noise, held_out, origin = split_noise(config)
    provenance.update(origin)
    settings, size, hard = config.injections(), config.batch_size, None
    if config.hard_share:
        ahead = None
        if config.hard_noise:
            ahead, provenance["hard_noise"] = _hard_noise(config)
        counts = {"windows": config.hard_windows, "steps_per_epoch": config.steps_per_epoch}
        hard = HardNoise(noise, seed=config.seed, ahead=ahead, begun=bool(config.options.get("weights")), **counts)
    return Batches(
        training=InjectionBatches(
            training_bank, noise, batch_size=size, seed=config.seed, settings=settings, hard=hard
        ),
        validation=InjectionBatches(
            held_out_bank, held_out, batch_size=size, seed=VALIDATION_SEED, settings=replace(settings, snr_start=None)
        ),
        held_out_bank=held_out_bank,
        metric=simulated_metric(held_out_bank, held_out, config),
        provenance=provenance,
        description=f"{config.noise} noise and {kept_waveforms} waveforms of {bank.population}",
    )


def _labelled(config):
    header = open_windows(config.data)
    header.require(config.window_samples, config.detectors, config.whitening.sample_rate, "the run asks for")
    if config.noise != "files" or any(
        (config.glitch_share, config.inconsistent_share, config.loud_share, config.hard_share)
    ):
        raise InputError(f"{config.data}: labelled windows are shown as they are; leave out --noise and the shares")
    if config.merger_tolerance:
        raise InputError(f"{config.data}: labelled windows do not say where a signal is; expected --merger-tolerance 0")
    if config.statistic_templates:
        raise InputError(
            f"{config.data}: labelled windows hold no waveforms; leave out --statistic-templates, or give 0 and --statistic-coherent false"
        )
    rows, held_out = split_windows(header, config.validation_share, VALIDATION_SEED)
    for own in (rows, held_out):
        check_windows(header, own)
    size = config.batch_size
    validation = LabelledWindows(header, held_out, batch_size=size, seed=None)
    return Batches(
        training=LabelledWindows(header, rows, batch_size=size, seed=config.seed),
        validation=validation,
        held_out_bank=None,
        metric=labelled_metric(validation, config),
        provenance={
            "windows": {
                "file": Path(config.data).name,
                "trained_on": header.hashes(sample_of(rows)),
                "held_out": header.hashes(sample_of(held_out)),
            },
            "number": len(rows),
            "held_out": len(held_out),
        },
        description=f"{len(rows)} labelled windows",
    )
