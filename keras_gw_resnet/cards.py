"""Check what the card of a saved network says, before anything is done by it."""

import math
import re
from pathlib import Path

from keras_gw_resnet.errors import MALFORMED, InputError, shortened
from keras_gw_resnet.models.parts import Parts
from keras_gw_resnet.strain.conditioning import LEAST_PSD_SECONDS, Whitening

# What a card has to say, and of which type.
CARD_FIELDS = {
    "name": str,
    "model": str,
    "options": dict,
    "sample_rate": int,
    "detectors": list,
    "window_samples": int,
    "whitening": dict,
    "timing": dict,
    "sha256": str,
}
# What it may say.
MORE_FIELDS = {
    "training": dict,
    "metrics": dict,
    "signals": dict,
    "parameters": int,
    "multiply_adds": int | float,
    "parts": dict,
}
TIMING_FIELDS = ("merger_seconds", "tolerance_seconds")
HIGHEST_RATE, LONGEST_WINDOW, LONGEST_FILTER, LONGEST_PSD = 1 << 17, 1 << 22, 64.0, 1 << 14


def check_card(path: Path | str, card: object) -> None:
    """Raise InputError where a card lacks something, or says what cannot be."""
    fault = next(_faults(card), None)
    if fault:
        raise InputError(f"{path}: {fault}; train or fetch the network again")


def _is(value, kind):
    """Say whether a value is of a type; true and false are no numbers, and numbers are finite."""
    if isinstance(value, bool) or not isinstance(value, kind):
        return False
    return not isinstance(value, int | float) or abs(value) < 1e15


def _said(value):
    return shortened(repr(value), 80)


def _faults(card):
    """Yield what is wrong with a card, the first fault first; those behind it may not make sense."""
    if not isinstance(card, dict):
        yield "is no card"
    missing = [field for field in CARD_FIELDS if field not in card]
    if missing:
        yield f"lacks {', '.join(missing)}"
    known = {**CARD_FIELDS, **{name: kind for name, kind in MORE_FIELDS.items() if name in card}}
    yield from (f"{name} is {_said(card[name])}" for name, kind in known.items() if not _is(card[name], kind))
    if not re.fullmatch(r"[^/\\\0\n]{1,200}", card["name"]) or card["name"] in (".", ".."):
        yield f"name is {_said(card['name'])}, which is no name of a file"
    if not re.fullmatch(r"[0-9a-f]{64}", card["sha256"]):
        yield f"sha256 is {_said(card['sha256'])}"
    yield from _whitening_faults(card)
    if not 1 <= card["window_samples"] <= LONGEST_WINDOW:
        yield f"window_samples is {card['window_samples']}"
    detectors = card["detectors"]
    if not detectors or not all(isinstance(name, str) and re.fullmatch(r"\w{1,16}", name) for name in detectors):
        yield f"detectors is {_said(detectors)}"
    if len(set(detectors)) < len(detectors):
        yield f"detectors is {_said(detectors)}, one of them twice"
    yield from _result_faults(card)
    if "parts" in card and not _are_parts(card["parts"]):
        yield f"parts is {_said(card['parts'])}"


def _are_parts(said):
    """Say whether a card tells the parts of a network as `models.parts.Parts` does."""
    try:
        parts = Parts.from_dict(said)
        whole = [parts.window_samples or 0, *parts.cropping, parts.earlier, parts.head_kernel, parts.classes]
        whole += [value for name, value in vars(parts.field).items() if name != "local"] if parts.field else []
    except MALFORMED:
        return False
    sizes = all(_is(value, int) and value >= 0 for value in whole) and len(parts.cropping) == 2
    strides = parts.head_kernel > 0 and (parts.field is None or parts.field.stride > 0)
    return sizes and strides and isinstance(parts.head, str) and isinstance(parts.head_layer, str | None)


def _whitening_faults(card):
    settings, defaults = card["whitening"], Whitening().to_dict()
    for field, value in settings.items():
        kind = int if field == "sample_rate" else int | float
        if field not in defaults or not _is(value, kind) or value < 0 or (value == 0 and field != "gate"):
            yield f"whitening has {_said(field)[1:-1]} = {_said(value)}"
    whitening = Whitening(**settings)
    if card["sample_rate"] != whitening.sample_rate:
        yield f"sample_rate is {card['sample_rate']}, whitening has another"
    if not 16 <= whitening.sample_rate <= HIGHEST_RATE:
        yield f"sample_rate is {whitening.sample_rate} Hz"
    if whitening.low_frequency >= whitening.sample_rate / 2:
        yield f"whitening removes all below {whitening.low_frequency:g} Hz, which is all that {whitening.sample_rate} Hz can hold"
    if not 16 / whitening.sample_rate <= whitening.filter_seconds <= LONGEST_FILTER:
        yield f"whitening has filter_seconds = {whitening.filter_seconds:g}"
    if not max(LEAST_PSD_SECONDS, whitening.filter_seconds) <= whitening.psd_seconds <= LONGEST_PSD:
        yield f"whitening has psd_seconds = {whitening.psd_seconds:g}"


def _result_faults(card):
    timing = card["timing"]
    lacking = [name for name in TIMING_FIELDS if not _is(timing.get(name), int | float)]
    if lacking:
        yield f"timing lacks {', '.join(lacking)}"
    longest = card["window_samples"] / card["sample_rate"]
    if not -longest <= timing["merger_seconds"] <= 2 * longest or not 0 <= timing["tolerance_seconds"] <= 1e3:
        yield f"timing is {_said(timing)}"
    signals = card.get("signals", {}).get("stat", [])
    if not isinstance(signals, list) or not all(_is(value, int | float) and math.isfinite(value) for value in signals):
        yield f"signals is {_said(signals)}"
    training = card.get("training", {})
    for field in ("config", "data", "begun_with"):
        if not isinstance(training.get(field, {}), dict):
            yield f"training has {field} = {_said(training[field])}"
    data = training.get("data", {})
    for field in ("gps_intervals", "held_out_gps_intervals"):
        intervals = data.get(field, [])
        sound = isinstance(intervals, list) and all(
            isinstance(one, list) and len(one) >= 2 and all(_is(value, int | float) for value in one[:2])
            for one in intervals
        )
        if not sound:
            yield f"training has {field} = {_said(intervals)}"
    if not all(isinstance(own, dict) for own in training.get("begun_with", {}).values()):
        yield f"training has begun_with = {_said(training['begun_with'])}"
    members = card["options"].get("members", [])
    if not isinstance(members, list) or not all(isinstance(name, str) for name in members):
        yield f"options has members = {_said(members)}"
