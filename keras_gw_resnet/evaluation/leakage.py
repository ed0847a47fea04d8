"""What a network has seen in training, against what it is to be measured on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from keras_gw_resnet.errors import InputError

if TYPE_CHECKING:
    import numpy as np


def trainings_of(card: dict) -> list[dict]:
    """List the trainings that a network's weights are of, each once: its own, and those of what it began with or joins."""
    found, waiting = [], [(card.get("name"), card.get("training", {}))]
    while waiting:
        # Two networks that are trained alike differ in their names alone.
        own = waiting.pop()
        if own not in found:
            found.append(own)
            waiting += own[1].get("begun_with", {}).items()
    return [training for _, training in found]


def seen_in_training(card: dict, intervals: Sequence, fingerprint: str | None = None) -> list[str]:
    """List what of the data a network was trained on or selected with.

    Args:
        card: Card of the network; what it says of its training data counts, what it does not say cannot.
        intervals: List of [GPS start, GPS stop, origin] of the noise to measure on; the same seconds of another origin
            (other seeds of a simulation) are other noise.
        fingerprint: Of the waveform bank, or None.

    Returns:
        List of sentences, empty where nothing was seen.
    """
    every = [training.get("data", {}) for training in trainings_of(card)]
    seen = []
    if fingerprint is not None and any(data.get("bank", {}).get("fingerprint") == fingerprint for data in every):
        seen.append(f"its waveform bank is this one ({fingerprint})")
    for field, what in (("gps_intervals", "was trained on"), ("held_out_gps_intervals", "was validated on")):
        known = {tuple(one) for data in every for one in data.get(field, [])}
        seconds = sum(_overlap(one, other) for one in known for other in intervals)
        if seconds > 0:
            seen.append(f"it {what} {seconds:.0f} s of this noise")
    return seen


def seen_glitches(card: dict, fingerprint: str) -> list[str]:
    """List what a network saw of a glitch bank of this fingerprint, see `seen_in_training`."""
    number = _most_glitches(card, lambda own: fingerprint and own == fingerprint)
    return [f"it was trained on {number} of these glitches"] if number else []


def glitches_of_other_banks(card: dict, fingerprint: str) -> int:
    """Return how many glitches of banks with other fingerprints a network was trained on.

    The same recordings, cut or joined otherwise, have another fingerprint: whether they are among these nobody can tell.
    """
    return _most_glitches(card, lambda own: own != fingerprint)


def _most_glitches(card, chosen):
    """Return how many glitches a network was trained on of the largest bank whose fingerprint is chosen; 0: of none."""
    every = [training.get("data", {}).get("glitches", {}) for training in trainings_of(card)]
    return max((own["number"] for own in every if own and chosen(own.get("fingerprint"))), default=0)


def seen_windows(card: dict, hashes: Iterable[str] | np.ndarray) -> list[str]:
    """List what a network saw of labelled windows, from a sample of those that it was trained on and selected with.

    Args:
        card: Card of the network.
        hashes: Of the windows to measure on, see `WindowsHeader.hashes`.

    Returns:
        List of sentences, empty where none of the sample is among them.
    """
    every = [training.get("data", {}).get("windows", {}) for training in trainings_of(card)]
    seen = []
    for field, what in (("trained_on", "was trained on"), ("held_out", "was validated on")):
        sample = {one for known in every if isinstance(known, dict) for one in known.get(field, [])}
        common = len(sample & set(hashes))
        if common:
            seen.append(f"it {what} windows that are among these ({common} of a sample of {len(sample)})")
    return seen


def _overlap(one, other):
    if len(one) < 3 or one[2] != other[2]:
        return 0.0
    return max(0.0, min(one[1], other[1]) - max(one[0], other[0]))


def report_leakage(card: dict, seen: Sequence[str], strict: bool) -> None:
    """Print what a network has seen of the data, as the first line of a report.

    Raises:
        InputError: It has seen some, and `strict` is true.
    """
    if not seen:
        return
    if strict:
        raise InputError(f"{card['name']}: {'; '.join(seen)}; give other data, or leave out --strict")
    print(f"NOTE: {card['name']} knows these data: {'; '.join(seen)}. The figures below flatter it.", flush=True)
