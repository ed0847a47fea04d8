"""What a training run is made of."""

from dataclasses import asdict, dataclass, field, fields

from keras_gw_resnet.datasets.batches import InjectionSettings
from keras_gw_resnet.errors import InputError
from keras_gw_resnet.strain.conditioning import Whitening

# What a network has to be for the loss on one logit a window; the first two follow from the data.
FIXED_OPTIONS = ("input_shape", "name", "include_top", "classes", "classifier_activation")


@dataclass(frozen=True)
class TrainingConfig:
    """One training run; the same object is the command line, the record in the output folder and the card.

    Attributes:
        model: Registry name.
        options: Options of its constructor.
        data: Folder with strain files and a waveform bank.
        noise: "files" draws noise from the strain files, "gaussian" simulates it afresh, "both" does either half the time.
        psds: PSD names or files for "gaussian" and "both".
        detectors: In column order.
        window_samples: Length of the network's input.
        epochs, steps_per_epoch, batch_size: Length of the run.
        learning_rate: Peak of the cosine schedule (Adam).
        seed: Seed of weights, batches and dropout.
        snr_range, snr_power, snr_start, merger_range, lone_signal_share, glitch_share, inconsistent_share, loud_share: See
            `InjectionSettings`.
        curriculum_epochs: Epochs over which the SNR range moves from `snr_start` to `snr_range`.
        validation_share: Part of noise (in time) and of the bank held out.
        validation_batches: Batches of the fixed validation set.
        quality: Data-quality flags that the strain has to fulfil.
        devices: Number of local devices; None: all GPUs, or the CPU.
        whitening: Conditioning.
    """

    model: str
    data: str
    options: dict = field(default_factory=dict)
    noise: str = "files"
    psds: tuple[str, ...] = ()
    detectors: tuple[str, ...] = ("H1", "L1")
    window_samples: int = 2048
    epochs: int = 20
    steps_per_epoch: int = 200
    batch_size: int = 128
    learning_rate: float = 2e-3
    seed: int = 0
    snr_range: tuple[float, float] = (5.0, 20.0)
    snr_power: float = 0.0
    snr_start: tuple[float, float] | None = None
    curriculum_epochs: int = 0
    merger_range: tuple[float, float] = (0.65, 0.85)
    lone_signal_share: float = 0.2
    glitch_share: float = 0.0
    inconsistent_share: float = 0.0
    loud_share: float = 0.0
    validation_share: float = 0.1
    validation_batches: int = 16
    quality: tuple[str, ...] = ()
    devices: int | None = None
    whitening: Whitening = field(default_factory=Whitening)

    def __post_init__(self):
        for name in ("epochs", "steps_per_epoch", "batch_size", "window_samples", "validation_batches"):
            if getattr(self, name) < 1:
                raise InputError(f"--{name.replace('_', '-')} is {getattr(self, name)}; expected at least 1")
        if self.batch_size % 2:
            raise InputError(
                f"--batch-size is {self.batch_size}; expected an even number (half the examples hold a signal)"
            )
        if self.learning_rate <= 0:
            raise InputError(f"--learning-rate is {self.learning_rate}; expected a positive number")
        if (self.snr_start is None) != (self.curriculum_epochs == 0) or self.curriculum_epochs < 0:
            raise InputError(
                "--snr-start and --curriculum-epochs belong together: where the SNR starts, and for how long"
            )
        self.injections()
        fixed = [name for name in FIXED_OPTIONS if name in self.options]
        if fixed:
            raise InputError(f"--option {fixed[0]}: follows from the training and cannot be set")
        if not 0 < self.validation_share < 1:
            raise InputError(f"--validation-share is {self.validation_share}; expected a share between 0 and 1")
        if self.noise not in ("files", "gaussian", "both"):
            raise InputError(f"--noise is {self.noise!r}; expected 'files', 'gaussian' or 'both'")
        if self.noise != "files" and not self.psds:
            raise InputError(f"--noise {self.noise} needs --psd: at least one PSD name or file")

    def injections(self):
        """Return the InjectionSettings of the run."""
        return InjectionSettings(
            snr_range=self.snr_range,
            snr_power=self.snr_power,
            snr_start=self.snr_start,
            snr_start_batches=self.curriculum_epochs * self.steps_per_epoch,
            merger_range=self.merger_range,
            lone_signal_share=self.lone_signal_share,
            glitch_share=self.glitch_share,
            inconsistent_share=self.inconsistent_share,
            loud_share=self.loud_share,
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
            if recorded.get(f.name) != own[f.name]
        ]
