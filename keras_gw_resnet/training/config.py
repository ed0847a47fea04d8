"""What a training run is made of: rooms, each of which checks itself, and here what spans several of them."""

from dataclasses import MISSING, asdict, dataclass, field, fields, replace

from keras_gw_resnet.datasets.hard import FIRST_EPOCH, LEAST_STEPS
from keras_gw_resnet.datasets.negatives import Negatives
from keras_gw_resnet.datasets.signals import Signals
from keras_gw_resnet.errors import InputError
from keras_gw_resnet.strain.conditioning import Whitening
from keras_gw_resnet.training.names import ROOMS, fields_of, in_rooms
from keras_gw_resnet.training.rooms import Data, Devices, Metric, Network, Optimisation, Ranking


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """One training run; the same object is the command line, the record in the output folder and the card.

    Attributes:
        epochs: Epochs.
        seed: Of weights, batches and dropout.
        network: Which network is trained.
        data: What it is trained on.
        signals: Which signals are shown, and how often.
        negatives: What the examples without a signal hold.
        optimisation: How the weights are moved.
        metric: What epochs are judged by.
        ranking: What a matched filter ranks, added.
        devices: What computes.
    """

    network: Network
    data: Data
    epochs: int = 20
    seed: int = 0
    signals: Signals = field(default_factory=Signals)
    negatives: Negatives = field(default_factory=Negatives)
    optimisation: Optimisation = field(default_factory=Optimisation)
    metric: Metric = field(default_factory=Metric)
    ranking: Ranking = field(default_factory=Ranking)
    devices: Devices = field(default_factory=Devices)

    @classmethod
    def of(cls, **values) -> "TrainingConfig":
        """Make a configuration of values by name, however they are named; see `names.in_rooms`.

        Raises:
            InputError: A value out of range, a contradiction, or a name that there is not.
        """
        given, rooms = in_rooms(values), {f.name: f.type for f in fields(cls)}
        unknown = given.keys() - rooms.keys()
        if unknown:
            raise InputError(f"{min(unknown)}: no such part of a training; expected {', '.join(rooms)}")
        odd = [name for name in ROOMS if not isinstance(given.get(name, {}), dict)]
        if odd:
            raise InputError(f"{odd[0]} is {given[odd[0]]!r}; expected options under it")
        made = {name: _room(rooms[name], value) if isinstance(value, dict) else value for name, value in given.items()}
        return cls(**made)

    def changed(self, **values) -> "TrainingConfig":
        """Return a copy with some values changed, named as for `of`."""
        given = in_rooms(values)
        parts = {n: replace(getattr(self, n), **v) if isinstance(v, dict) else v for n, v in given.items()}
        return replace(self, **parts)

    def __post_init__(self):
        if self.epochs < 1:
            raise InputError(f"--epochs is {self.epochs}; expected at least 1")
        if not 0 <= self.seed < 2**32:
            raise InputError(f"--seed is {self.seed}; expected a whole number from 0 to {2**32 - 1}")
        self._check_batches()
        self._check_epochs()
        self._check_labels()
        self._check_ranking()

    def _check_batches(self):
        share, size, devices = self.signals.share, self.optimisation.batch_size, self.devices.number
        if not 0 < round(share * size) < size:
            raise InputError(f"--batch-size {size} with --signals.share {share:g} holds no signal or nothing else")
        if devices and size % devices:
            raise InputError(f"--batch-size {size} cannot be divided among {devices} devices")
        searching = self.negatives.hard_share and self.negatives.hard_windows and self.epochs > FIRST_EPOCH
        if searching and self.optimisation.steps_per_epoch < LEAST_STEPS:
            raise InputError(
                f"--steps-per-epoch {self.optimisation.steps_per_epoch} with --negatives.hard_share: batches are made ahead, some "
                f"before the search for their hard noise is done; expected at least {LEAST_STEPS}, or --negatives.hard_windows 0"
            )

    def _check_epochs(self):
        epochs = self.epochs
        if self.optimisation.warmup_epochs >= epochs:
            raise InputError(
                f"--optimisation.warmup_epochs {self.optimisation.warmup_epochs} leaves nothing of --epochs {epochs}"
            )
        if self.network.finetune_epochs >= epochs:
            raise InputError(
                f"--network.finetune_epochs {self.network.finetune_epochs} leaves nothing of --epochs {epochs}"
            )
        if self.signals.curriculum_epochs > epochs:
            raise InputError(
                f"--signals.curriculum_epochs {self.signals.curriculum_epochs} is more than --epochs {epochs}: the SNR would "
                "not reach --signals.snr_range"
            )

    def _check_labels(self):
        tolerance, rate = self.signals.merger_tolerance, self.data.whitening.sample_rate
        if tolerance and self.optimisation.label_smoothing:
            raise InputError("--signals.merger_tolerance and --optimisation.label_smoothing exclude each other")
        if 0 < tolerance < 1 / rate:
            raise InputError(
                f"--signals.merger_tolerance is {tolerance:g}; expected at least a sample, {1 / rate:g} s, or 0"
            )

    def _check_ranking(self):
        options, detectors, rate = self.network.options, self.data.detectors, self.data.whitening.sample_rate
        if self.ranking.coherent or options.get("statistic_coherent"):
            if rate != 2048:
                raise InputError(
                    f"--ranking.coherent is for a sample rate of 2048 Hz, not {rate}; give --ranking.coherent false"
                )
            if detectors and sorted(detectors[:2]) != ["H1", "L1"]:
                raise InputError(
                    "--ranking.coherent is for H1 and L1, which see opposite phases, the first two of the detectors; give "
                    f"--ranking.coherent false for {' and '.join(detectors)}"
                )
        if options.get("statistic_templates") and not options.get("weights"):
            raise InputError(
                "--options.statistic_templates: nothing would fill them; give --ranking.templates in its place, or "
                "--options.weights of a network that has them"
            )

    def to_dict(self) -> dict:
        """Return the configuration as JSON-ready values, a dictionary a room."""
        return _plain(asdict(self))

    def differences(self, recorded: dict) -> list[str]:
        """List the fields in which a recorded dictionary differs, as "room.field: recorded -> own".

        A record may be older than the rooms, and than some fields, which had their default then.
        """
        own, then = dict(fields_of(self.to_dict())), dict(fields_of(recorded))
        usual = dict(fields_of(_plain(_defaults(type(self)))))
        return [
            f"{name}: {then.get(name)} -> {value}"
            for name, value in own.items()
            if then.get(name, usual.get(name)) != value
        ]


def _room(kind, values):
    """Make a room of a dictionary as JSON holds it."""
    known, given = {f.name for f in fields(kind)}, dict(values)
    unknown = given.keys() - known
    if unknown:
        raise InputError(f"{kind.__name__.lower()}.{min(unknown)}: no such option; expected {', '.join(sorted(known))}")
    if isinstance(given.get("whitening"), dict):
        given["whitening"] = _room(Whitening, given["whitening"])
    # Options of networks may be lists; all else that has several values is a tuple.
    pairs = {name: tuple(value) for name, value in given.items() if isinstance(value, list)}
    try:
        return kind(**{**given, **pairs})
    except TypeError as error:
        raise InputError(f"{kind.__name__.lower()}: {error}") from error


def _plain(value):
    """Return nested values as JSON holds them."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, tuple | list) else value


def _defaults(kind):
    """Return the defaults of a dataclass and of those within it, {name: value}; what has none is left out."""
    found = {}
    for f in fields(kind):
        if hasattr(f.type, "__dataclass_fields__"):
            found[f.name] = _defaults(f.type)
        elif f.default is not MISSING:
            found[f.name] = f.default
        elif f.default_factory is not MISSING:
            found[f.name] = f.default_factory()
    return found
