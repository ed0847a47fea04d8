"""Names of a training's configuration before it had rooms, read for one release more.

One table translates flags, YAML files, the cards of networks and the records of runs that were begun before.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from keras_gw_resnet.errors import flag

ROOMS = ("network", "data", "signals", "negatives", "optimisation", "metric", "ranking", "devices")

# What a field was called before, and where it is now.
OLD_NAMES = {
    "model": "network.model",
    "options": "network.options",
    "growth": "network.growth",
    "finetune_epochs": "network.finetune_epochs",
    "data": "data.path",
    "detectors": "data.detectors",
    "window_samples": "data.window_samples",
    "noise": "data.noise",
    "psd": "data.psd",
    "quality": "data.quality",
    "channel": "data.channel",
    "leave_out": "data.leave_out",
    "recolour_share": "data.recolour_share",
    "validation_share": "data.validation_share",
    "whitening": "data.whitening",
    "signal_share": "signals.share",
    "snr_range": "signals.snr_range",
    "snr_power": "signals.snr_power",
    "mass_power": "signals.mass_power",
    "snr_start": "signals.snr_start",
    "curriculum_epochs": "signals.curriculum_epochs",
    "merger_range": "signals.merger_range",
    "merger_tolerance": "signals.merger_tolerance",
    "lone_signal_share": "negatives.lone_signal_share",
    "glitch_share": "negatives.glitch_share",
    "glitches": "negatives.glitch_bank",
    "bank_glitch_share": "negatives.bank_glitch_share",
    "beside_signals": "negatives.beside_signals",
    "inconsistent_share": "negatives.inconsistent_share",
    "loud_share": "negatives.loud_share",
    "hard_share": "negatives.hard_share",
    "hard_windows": "negatives.hard_windows",
    "hard_noise": "negatives.hard_noise",
    "steps_per_epoch": "optimisation.steps_per_epoch",
    "batch_size": "optimisation.batch_size",
    "optimizer": "optimisation.optimizer",
    "learning_rate": "optimisation.learning_rate",
    "schedule": "optimisation.schedule",
    "warmup_epochs": "optimisation.warmup_epochs",
    "weight_decay": "optimisation.weight_decay",
    "gradient_clip": "optimisation.gradient_clip",
    "weight_averaging": "optimisation.weight_averaging",
    "label_smoothing": "optimisation.label_smoothing",
    "false_alarm_probability": "metric.false_alarm_probability",
    "validation_snr": "metric.snr",
    "validation_noise": "metric.noise_windows",
    "validation_signals": "metric.signal_windows",
    "validation_batches": "metric.batches",
    "keep": "metric.keep",
    "early_stopping": "metric.early_stopping",
    "statistic_shortcut": "ranking.statistic",
    "statistic_templates": "ranking.templates",
    "statistic_coherent": "ranking.coherent",
    "devices": "devices.number",
    "precision": "devices.precision",
}
# Names that stay as short forms for the command line: what everyone types.
SHORT = (
    *("model", "data", "options", "steps_per_epoch", "batch_size", "learning_rate"),
    *("leave_out", "recolour_share", "glitches"),
)
# Options of networks that may be given without 'options.' before them.
SHORT_OPTIONS = ("width", "kernel_size", "stem_kernel_size", "dropout")
_SHORT_OF = {OLD_NAMES[name]: name for name in SHORT}
_OLD_OF = {new: old for old, new in OLD_NAMES.items()}
_FLAG = re.compile(r"--[a-z][\w-]*(?:\.[a-z]\w*)*")


def place_of(name: str) -> tuple[str, bool]:
    """Return where an option belongs that is named without dashes, as "room.field", and whether its name is an old one.

    Names that are no field's are returned as they are.
    """
    head, _, rest = name.partition(".")
    if name in SHORT_OPTIONS:
        return f"network.options.{name}", False
    if head not in OLD_NAMES or (head in ROOMS and rest):
        return name, False
    return f"{OLD_NAMES[head]}.{rest}".rstrip("."), head not in SHORT


def flag_of(place: str) -> str:
    """Return the command-line flag of a field, given as "room.field": the short form where there is one."""
    if place in _SHORT_OF:
        return f"--{_SHORT_OF[place].replace('_', '-')}"
    return f"--{place}"


def in_words_of(message: str, typed: Sequence[str] | Mapping) -> str:
    """Return a message with options named as in a command line.

    Args:
        message: Names options in any way.
        typed: Old names that were typed; where there are any, all are named so and those that the message mentions are
            translated at its end.
    """
    mentioned = {}

    def renamed(found):
        place = place_of(found[0][2:].replace("-", "_"))[0]
        head = next((p for p in _OLD_OF if place == p or place.startswith(f"{p}.")), None)
        if head is None:
            return found[0]
        old = _OLD_OF[head]
        if not typed or old in SHORT:
            return flag_of(head) + place[len(head) :]
        if old in typed:
            mentioned[flag(old)] = flag_of(head)
        return flag(old) + place[len(head) :]

    text = _FLAG.sub(renamed, message)
    said = ", ".join(f"{old} is {new} now" for old, new in mentioned.items())
    return f"{text} ({said})" if said else text


def in_rooms(values: Mapping) -> dict:
    """Return a configuration in rooms, whichever way its names are written.

    Args:
        values: {name: value}; a name is that of a room, with a dictionary, of a field with its room ("signals.snr_range"), or
            an old one. Other names are left as they are.

    Returns:
        Dictionary {name: value or {field: value}}; of a field given twice the last value.
    """
    found = {}
    for name, value in values.items():
        if name in ROOMS and isinstance(value, dict):
            found.setdefault(name, {}).update(value)
            continue
        room, _, field = OLD_NAMES.get(name, name).partition(".")
        if field and room in ROOMS:
            found.setdefault(room, {})[field] = value
        else:
            found[name] = value
    return found


def recorded(card: dict) -> dict:
    """Return {"room.field": value} of the configuration with which a network was trained, by its card; {} where it does not say."""
    return dict(fields_of(card.get("training", {}).get("config", {})))


def fields_of(values: Mapping) -> Iterator[tuple[str, Any]]:
    """Yield ("room.field" or field, value) of a configuration, whichever way its names are written; whitening too, one by one."""
    for name, value in in_rooms(values).items():
        if name not in ROOMS or not isinstance(value, dict):
            yield name, value
            continue
        for field, own in value.items():
            if field == "whitening" and isinstance(own, dict):
                yield from ((f"{name}.{field}.{inner}", v) for inner, v in own.items())
            else:
                yield f"{name}.{field}", own
