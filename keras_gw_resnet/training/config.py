"""What a training run is made of."""

from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import Literal

from keras_gw_resnet.datasets.batches import InjectionSettings
from keras_gw_resnet.errors import InputError, flag
from keras_gw_resnet.strain.conditioning import Whitening

# What a network has to be for the loss on one logit a window; the first two follow from the data.
FIXED_OPTIONS = ("input_shape", "name", "include_top", "classes", "classifier_activation")
Option = None | bool | int | float | str | list
Pair = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """One training run; the same object is the command line, the record in the output folder and the card.

    Attributes:
        model: Registry name, see 'keras-gw-resnet models'.
        data: Folder with strain files (HDF5) and a waveform bank, or a file of labelled windows.
        options: Options of the network's constructor, one by one: --options.blocks 8.
        detectors: In column order; None: H1 L1, or those of labelled windows.
        window_samples: Length of the network's input; None: 2048, or that of labelled windows.
        epochs: Epochs.
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
        precision: Of the arithmetic; weights and saved network stay float32.
        early_stopping: Epochs without a better metric after which the run ends; 0: never.
        keep: Save the weights of the epoch with the best metric, or of the last.
        false_alarm_probability: Of the metric: detected fraction at `validation_snr`.
        validation_snr: Network SNR of its signals.
        validation_noise: Its windows without a signal; at least 10 have to lie above the threshold.
        validation_signals: Its windows with one.
        validation_share: Part of noise (in time), bank or windows held out.
        validation_batches: Batches, made like those of the training, on which loss and AUC are measured.
        growth: Train all blocks together, or one residual block at a time, those before it frozen (arXiv 1706.04964).
        finetune_epochs: With blockwise growth, last epochs that train all blocks together.
        seed: Of weights, batches and dropout.
        noise: From the strain files, simulated afresh, or either half the time.
        psd: PSD names, files or folders, for simulated noise.
        quality: Data-quality flags that the strain has to fulfil.
        channel: Which channel is a detector's strain, as H1=NAME, where files hold several.
        signal_share: Share of the examples that hold a signal.
        snr_range: Network SNR of the signals.
        snr_power: Its density falls with this power: 0 is uniform, 4 that of sources uniform in volume.
        mass_power: Signals are drawn with a chance that grows with this power of their chirp mass: 0, all waveforms of the
            bank alike; 2.5 as a sensitive volume counts them.
        snr_start: Range at the start of a curriculum.
        curriculum_epochs: Epochs over which the SNR moves from `snr_start` to `snr_range`.
        merger_range: Coalescence as a share of the window.
        merger_tolerance: Where the head gives a logit at each place (--options.pooling logsumexp): labels say where the
            coalescence is, within this standard deviation (s); 0: they say whether there is one.
        statistic_shortcut: Weight with which what a search for coincident triggers ranks, computed by a stem of templates that joins
            the detectors (--options.templates 128 --options.coincidence true), is added to the logits of the places once the training
            is over; the median score of the negatives stays. 0: not.
        statistic_templates: How many templates of its own that shortcut has, tried every 4 samples: of binaries of the bank's masses, the
            lightest left out, without spins and higher modes; 0: those of the stem.
        statistic_coherent: Whether these join H1 and L1 as both see a signal: alike loud, and with nearly opposite phases.
        lone_signal_share: Negatives that hold a signal in one detector alone.
        glitch_share: Negatives that hold a simulated glitch in one detector.
        inconsistent_share: Negatives that hold a signal whose arrival times exceed the light travel time.
        loud_share: Negatives from the loudest places of the noise files.
        hard_share: Negatives that networks take for signals the most: the hardest 1 % of the noise that the network in
            training searches before each epoch, from the third epoch on, or those of `hard_noise`, or both alike often.
        hard_windows: Windows of noise searched for them; 0: none.
        hard_noise: File of such windows, from 'keras-gw-resnet hard-noise'; shown from the first epoch on to a network that
            begins with trained weights.
        devices: Local devices; None: all GPUs, or the CPU.
        whitening: Conditioning of strain.
    """

    model: str
    data: str
    options: dict[str, Option] = field(default_factory=dict)
    detectors: tuple[str, ...] | None = None
    window_samples: int | None = None
    epochs: int = 20
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
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    early_stopping: int = 0
    keep: Literal["best", "last"] = "best"
    false_alarm_probability: float = 1e-3
    validation_snr: float = 8.0
    validation_noise: int = 10000
    validation_signals: int = 1000
    validation_share: float = 0.1
    validation_batches: int = 16
    growth: Literal["whole", "blockwise"] = "whole"
    finetune_epochs: int = 0
    seed: int = 0
    noise: Literal["files", "gaussian", "both"] = "files"
    psd: tuple[str, ...] = ()
    quality: tuple[str, ...] = ()
    channel: tuple[str, ...] = ()
    signal_share: float = 0.5
    snr_range: Pair = (5.0, 20.0)
    snr_power: float = 0.0
    mass_power: float = 0.0
    snr_start: Pair | None = None
    curriculum_epochs: int = 0
    merger_range: Pair = (0.65, 0.85)
    merger_tolerance: float = 0.0
    statistic_shortcut: float = 0.0
    statistic_templates: int = 0
    statistic_coherent: bool = False
    lone_signal_share: float = 0.2
    glitch_share: float = 0.0
    inconsistent_share: float = 0.0
    loud_share: float = 0.0
    hard_share: float = 0.0
    hard_windows: int = 20000
    hard_noise: str | None = None
    devices: int | None = None
    whitening: Whitening = field(default_factory=Whitening)

    def __post_init__(self):
        for name in COUNTS:
            if (value := getattr(self, name)) is not None and value < 1:
                raise InputError(f"{flag(name)} is {value}; expected at least 1")
        for name in NOT_NEGATIVE:
            if not 0 <= (value := getattr(self, name)) < float("inf"):
                raise InputError(f"{flag(name)} is {value}; expected a finite number from 0")
        for name in ("weight_averaging", "label_smoothing"):
            if not 0 <= (value := getattr(self, name)) < 1:
                raise InputError(f"{flag(name)} is {value}; expected a share from 0 to below 1")
        for name in ("signal_share", "validation_share", "false_alarm_probability"):
            if not 0 < (value := getattr(self, name)) < 1:
                raise InputError(f"{flag(name)} is {value}; expected a share between 0 and 1")
        for name in ("learning_rate", "validation_snr"):
            if not 0 < (value := getattr(self, name)) < float("inf"):
                raise InputError(f"{flag(name)} is {value}; expected a positive number")
        if not 0 <= self.seed < 2**32:
            raise InputError(f"--seed is {self.seed}; expected a whole number from 0 to {2**32 - 1}")
        self._check_detectors()
        self._check_contradictions()
        self._check_belongings()
        self.injections()

    def _check_detectors(self):
        for names in (self.detectors or (), self.quality):
            if len(set(names)) < len(names):
                raise InputError(f"{' '.join(names)}; expected each once")
        if self.detectors == ():
            raise InputError("--detectors is empty; expected at least one")

    def _check_contradictions(self):
        if not 0 < round(self.signal_share * self.batch_size) < self.batch_size:
            raise InputError(
                f"--batch-size {self.batch_size} with --signal-share {self.signal_share:g} holds no signal or nothing else"
            )
        if self.devices and self.batch_size % self.devices:
            raise InputError(f"--batch-size {self.batch_size} cannot be divided among {self.devices} devices")
        fixed = [name for name in FIXED_OPTIONS if name in self.options]
        if fixed:
            raise InputError(f"--options.{fixed[0]}: follows from the training and cannot be set")
        if self.noise != "files" and not self.psd:
            raise InputError(f"--noise {self.noise} needs --psd: at least one PSD name or file")
        if self.validation_noise * self.false_alarm_probability < LEAST_FALSE_ALARMS:
            raise InputError(
                f"--validation-noise {self.validation_noise} windows cannot show a false-alarm probability of "
                f"{self.false_alarm_probability:g}; expected at least {LEAST_FALSE_ALARMS / self.false_alarm_probability:.0f}"
            )
        if self.merger_tolerance and self.label_smoothing:
            raise InputError("--merger-tolerance and --label-smoothing exclude each other")
        if self.weight_decay and self.optimizer == "adam":
            raise InputError("--weight-decay needs --optimizer adamw or sgd")
        if self.warmup_epochs >= self.epochs:
            raise InputError(f"--warmup-epochs {self.warmup_epochs} leaves nothing of --epochs {self.epochs}")
        if self.finetune_epochs and (self.growth != "blockwise" or self.finetune_epochs >= self.epochs):
            raise InputError("--finetune-epochs is a part of --epochs, with --growth blockwise")

    def _check_belongings(self):
        if (self.snr_start is None) != (self.curriculum_epochs == 0):
            raise InputError(
                "--snr-start and --curriculum-epochs belong together: where the SNR starts, and for how long"
            )
        if self.hard_share and not (self.hard_windows or self.hard_noise):
            raise InputError("--hard-share needs --hard-windows to search, or --hard-noise")
        if self.hard_noise and not self.hard_share:
            raise InputError("--hard-noise needs --hard-share: the share of the negatives that are drawn from it")
        if self.statistic_templates and not self.statistic_shortcut:
            raise InputError(
                "--statistic-templates are of a shortcut: give --statistic-shortcut too, for example 0.5, or --statistic-templates 0"
            )
        if self.statistic_coherent and not self.statistic_templates:
            raise InputError(
                "--statistic-coherent is of templates of the shortcut's own: give --statistic-templates too, for example 40, or --statistic-coherent false"
            )
        coherent = self.statistic_coherent or self.options.get("statistic_coherent")
        if coherent and self.whitening.sample_rate != 2048:
            raise InputError(
                f"--statistic-coherent is for a sample rate of 2048 Hz, not {self.whitening.sample_rate}; give --statistic-coherent false"
            )
        if coherent and self.detectors and sorted(self.detectors) != ["H1", "L1"]:
            raise InputError(
                f"--statistic-coherent is for H1 and L1, which see opposite phases; give --statistic-coherent false for {' and '.join(self.detectors)}"
            )
        if self.options.get("statistic_templates") and not self.options.get("weights"):
            raise InputError(
                "--options.statistic_templates: nothing would fill them; give --statistic-templates in its place, or --options.weights of a "
                "network that has them"
            )

    def injections(self):
        """Return the InjectionSettings of the run."""
        return InjectionSettings(
            signal_share=self.signal_share,
            snr_range=self.snr_range,
            snr_power=self.snr_power,
            mass_power=self.mass_power,
            snr_start=self.snr_start,
            snr_start_batches=self.curriculum_epochs * self.steps_per_epoch,
            merger_range=self.merger_range,
            lone_signal_share=self.lone_signal_share,
            glitch_share=self.glitch_share,
            inconsistent_share=self.inconsistent_share,
            loud_share=self.loud_share,
            hard_share=self.hard_share,
        )

    def to_dict(self):
        """Return the configuration as JSON-ready values."""
        plain = asdict(self)
        return {k: list(v) if isinstance(v, tuple) else v for k, v in plain.items()}

    def differences(self, recorded):
        """List the fields in which a recorded dictionary differs, as "field: recorded -> own"."""
        own = self.to_dict()
        return [
            f"{f.name}: {recorded.get(f.name)} -> {own[f.name]}"
            for f in fields(self)
            if recorded.get(f.name, _default(f)) != own[f.name]
        ]


# Threshold windows of the metric: fewer would leave it to chance.
LEAST_FALSE_ALARMS = 10
COUNTS = (
    "epochs",
    "steps_per_epoch",
    "batch_size",
    "window_samples",
    "validation_batches",
    "validation_signals",
    "devices",
)
NOT_NEGATIVE = (
    "warmup_epochs",
    "weight_decay",
    "gradient_clip",
    "early_stopping",
    "finetune_epochs",
    "curriculum_epochs",
    "merger_tolerance",
    "statistic_shortcut",
    "statistic_templates",
    "mass_power",
    "hard_windows",
)


def _default(f):
    if f.default is MISSING:
        return None
    return list(f.default) if isinstance(f.default, tuple) else f.default
