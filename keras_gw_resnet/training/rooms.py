"""The rooms of a training's configuration, each of which checks itself; see `training.config`.

Two more stand beside what is made of them: `datasets.signals.Signals` and `datasets.negatives.Negatives`.
"""

from dataclasses import dataclass, field
from typing import Literal

from keras_gw_resnet.errors import InputError
from keras_gw_resnet.simulation.snr import LARGEST_SNR
from keras_gw_resnet.strain.conditioning import Whitening
from keras_gw_resnet.strain.gating import require_gate
from keras_gw_resnet.training.names import flag_of

# What a network has to be for the loss on one logit a window; the first two follow from the data.
FIXED_OPTIONS = ("input_shape", "name", "include_top", "classes", "classifier_activation")
Option = None | bool | int | float | str | list
# Threshold windows of the metric: fewer would leave it to chance.
LEAST_FALSE_ALARMS = 10


def _check(room, names, fits, expected):
    """Raise InputError where a field of a room is given and does not fit."""
    for name in names:
        if (value := getattr(room, name)) is not None and not fits(value):
            raise InputError(f"{flag_of(f'{type(room).__name__.lower()}.{name}')} is {value}; expected {expected}")


def _check_counts(room, *names):
    _check(room, names, lambda v: v >= 1, "at least 1")


def _check_not_negative(room, *names):
    _check(room, names, lambda v: 0 <= v < float("inf"), "a finite number from 0")


def _check_positive(room, *names):
    _check(room, names, lambda v: 0 < v < float("inf"), "a positive number")


def _check_between(room, *names):
    _check(room, names, lambda v: 0 < v < 1, "a share between 0 and 1")


@dataclass(frozen=True, kw_only=True)
class Network:
    """Which network is trained.

    Attributes:
        model: Registry name, see 'keras-gw-resnet models'.
        options: Options of the network's constructor, one by one: --options.blocks 8.
        growth: Train all blocks together, or one residual block at a time, those before it frozen (arXiv 1706.04964).
        finetune_epochs: With blockwise growth, last epochs that train all blocks together.
    """

    model: str
    options: dict[str, Option] = field(default_factory=dict)
    growth: Literal["whole", "blockwise"] = "whole"
    finetune_epochs: int = 0

    def __post_init__(self):
        fixed = [name for name in FIXED_OPTIONS if name in self.options]
        if fixed:
            raise InputError(f"--options.{fixed[0]}: follows from the training and cannot be set")
        _check_not_negative(self, "finetune_epochs")
        if self.finetune_epochs and self.growth != "blockwise":
            raise InputError("--network.finetune_epochs is a part of --epochs, with --network.growth blockwise")


@dataclass(frozen=True, kw_only=True)
class Data:
    """What it is trained on.

    Attributes:
        path: Folder with strain files (HDF5) and a waveform bank, or a file of labelled windows.
        detectors: In column order; None: H1 L1, or those of labelled windows.
        window_samples: Length of the network's input; None: 2048, or that of labelled windows.
        noise: From the strain files, simulated afresh, or either half the time.
        psd: PSD names, files or folders, as V1=NAME of one detector, for simulated noise, and for that of files to be recoloured to.
        quality: Data-quality flags that the strain has to fulfil.
        channel: Which channel is a detector's strain, as H1=NAME, where files hold several.
        leave_out: GPS seconds, or files with one a line, of signals in the strain files; 4 s around each, and around those of the
            catalogue, are no noise.
        recolour_share: Share of the noise of files that is recoloured to another spectrum: of `psd`, or, where that is not given, of
            other times of the files.
        validation_share: Part of noise (in time), bank or windows held out.
        whitening: Conditioning of strain.
    """

    path: str
    detectors: tuple[str, ...] | None = None
    window_samples: int | None = None
    noise: Literal["files", "gaussian", "both"] = "files"
    psd: tuple[str, ...] = ()
    quality: tuple[str, ...] = ()
    channel: tuple[str, ...] = ()
    leave_out: tuple[str, ...] = ()
    recolour_share: float = 0.0
    validation_share: float = 0.1
    whitening: Whitening = field(default_factory=Whitening)

    def __post_init__(self):
        for name in ("detectors", "quality"):
            given = getattr(self, name) or ()
            if len(set(given)) < len(given):
                raise InputError(f"--data.{name} is {' '.join(given)}; expected each once")
        if self.detectors == ():
            raise InputError("--data.detectors is empty; expected at least one")
        _check_counts(self, "window_samples")
        _check_between(self, "validation_share")
        _check(self, ("recolour_share",), lambda v: 0 <= v <= 1, "a share from 0 to 1")
        if self.noise == "gaussian" and (self.leave_out or self.recolour_share):
            raise InputError(
                "--data.leave_out and --data.recolour_share are of the noise of files; leave them out with --data.noise gaussian"
            )
        if self.noise != "files" and not self.psd:
            raise InputError(f"--data.noise {self.noise} needs --data.psd: at least one PSD name or file")
        if self.noise == "files" and self.psd and not self.recolour_share:
            raise InputError(
                "--data.psd is for simulated noise and --recolour-share: give one of them, --data.noise gaussian or both, or leave it out"
            )
        self._check_whitening()

    def _check_whitening(self):
        own, name = self.whitening, "--data.whitening"
        if own.sample_rate < 1 or not 0 < own.filter_seconds < float("inf") or own.filter_samples < 2:
            raise InputError(
                f"{name}: a filter of {own.filter_seconds:g} s at {own.sample_rate} Hz; expected two samples or more"
            )
        if not 0 <= own.low_frequency < own.sample_rate / 2:
            raise InputError(
                f"{name}.low_frequency is {own.low_frequency:g}; expected less than half of the sample rate of {own.sample_rate} Hz"
            )
        if not own.filter_seconds <= own.psd_seconds < float("inf"):
            raise InputError(
                f"{name}.psd_seconds is {own.psd_seconds:g}; expected at least the {own.filter_seconds:g} s of the filter"
            )
        try:
            require_gate(own.gate)
        except InputError as error:
            raise InputError(f"{name}.gate is {error}") from None


@dataclass(frozen=True, kw_only=True)
class Optimisation:
    """How its weights are moved.

    Attributes:
        steps_per_epoch: Batches an epoch.
        batch_size: Examples a batch, over all devices and processes.
        optimizer: Rule of the steps; sgd with Nesterov momentum of 0.9.
        learning_rate: Its peak.
        schedule: The learning rate falls to a hundredth along half a cosine, or stays.
        warmup_epochs: Epochs over which the learning rate rises from zero.
        weight_decay: Decoupled weight decay (adamw, sgd).
        gradient_clip: Longest global norm of the gradient; 0: any.
        weight_averaging: Momentum of the exponential average of the weights that is measured and saved; 0: none.
        label_smoothing: Share by which labels are moved towards one half.
    """

    steps_per_epoch: int = 200
    batch_size: int = 128
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    learning_rate: float = 2e-3
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup_epochs: int = 0
    weight_decay: float = 0.0
    gradient_clip: float = 0.0
    weight_averaging: float = 0.0
    label_smoothing: float = 0.0

    def __post_init__(self):
        _check_counts(self, "steps_per_epoch", "batch_size")
        _check_not_negative(self, "warmup_epochs", "weight_decay", "gradient_clip")
        _check_positive(self, "learning_rate")
        names = ("weight_averaging", "label_smoothing")
        _check(self, names, lambda v: 0 <= v < 1, "a share from 0 to below 1")
        if self.weight_decay and self.optimizer == "adam":
            raise InputError("--optimisation.weight_decay needs --optimisation.optimizer adamw or sgd")


@dataclass(frozen=True, kw_only=True)
class Metric:
    """What its epochs are judged by: the fraction of signals of one SNR that is detected.

    Attributes:
        false_alarm_probability: A window.
        snr: Network SNR of the signals.
        noise_windows: Windows without a signal; at least 10 have to lie above the threshold.
        signal_windows: Windows with one.
        batches: Batches, made like those of the training, on which loss and AUC are measured.
        keep: Save the weights of the epoch with the best metric, or of the last.
        early_stopping: Epochs without a better metric after which the run ends; 0: never.
    """

    false_alarm_probability: float = 1e-3
    snr: float = 8.0
    noise_windows: int = 10000
    signal_windows: int = 1000
    batches: int = 16
    keep: Literal["best", "last"] = "best"
    early_stopping: int = 0

    def __post_init__(self):
        _check_between(self, "false_alarm_probability")
        _check(self, ("snr",), lambda v: 0 < v <= LARGEST_SNR, f"a positive number up to {LARGEST_SNR:g}")
        _check_counts(self, "signal_windows", "batches")
        _check_not_negative(self, "early_stopping")
        if self.noise_windows * self.false_alarm_probability < LEAST_FALSE_ALARMS:
            least = LEAST_FALSE_ALARMS / self.false_alarm_probability
            raise InputError(
                f"--metric.noise_windows {self.noise_windows} cannot show a false-alarm probability of "
                f"{self.false_alarm_probability:g}; expected at least {least:.0f}"
            )


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """What a matched filter ranks, added to the network once it is trained.

    Attributes:
        statistic: Weight with which what a search for coincident triggers ranks, computed by a matched filter that joins
            the detectors (--options.templates 128 --options.coincidence true), is added to the logits of the positions; the
            median score of the negatives stays. 0: not.
        templates: How many templates of its own that statistic has, tried every 4 samples: of binaries of the bank's masses,
            the lightest left out, without spins and higher modes; 0: those that the stack sees.
        light: How many more templates that statistic has of light binaries, which are longer than the others: of 5 solar masses on,
            without spins and higher modes.
        coherent: Whether these join H1 and L1, the first two detectors, as both see a signal: alike loud, and with nearly opposite phases.
        consistency: Whether the matched filter tests how well the strain fits each template (as --options.consistency true) from the end
            of the training on, for what the stack sees and for the statistic.
    """

    statistic: float = 0.0
    templates: int = 0
    light: int = 0
    coherent: bool = False
    consistency: bool = False

    def __post_init__(self):
        _check_not_negative(self, "statistic", "templates", "light")
        if self.templates and not self.statistic:
            raise InputError(
                "--ranking.templates are of a statistic: give --ranking.statistic too, for example 0.5, or --ranking.templates 0"
            )
        if (self.coherent or self.light) and not self.templates:
            raise InputError(
                f"--ranking.{'coherent' if self.coherent else 'light'} is of templates of the statistic's own: "
                "give --ranking.templates too, for example 40, or leave it out"
            )

    def options(self) -> dict:
        """Return what of this are options of the network that comes of a training."""
        names = {
            "statistic": "statistic_shortcut",
            "templates": "statistic_templates",
            "light": "statistic_light",
            "coherent": "statistic_coherent",
            "consistency": "consistency",
        }
        return {option: value for name, option in names.items() if (value := getattr(self, name))}


@dataclass(frozen=True, kw_only=True)
class Devices:
    """What computes.

    Attributes:
        number: Local devices; None: all GPUs, or the CPU.
        precision: Of the arithmetic; weights and saved network stay float32.
    """

    number: int | None = None
    precision: Literal["float32", "bfloat16", "float16"] = "float32"

    def __post_init__(self):
        _check_counts(self, "number")
