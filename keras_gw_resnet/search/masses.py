"""Which template of a matched filter fits some strain best, and which binary that template is most like.

Templates are refined sums of kernels, so that none belongs to one binary, and no card holds masses. They are found by comparing the template
with waveforms of a grid of masses, whitened as the strain was.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.ndimage
import scipy.signal

from keras_gw_resnet.models.front import RINGDOWN
from keras_gw_resnet.models.graph import parts_of
from keras_gw_resnet.models.matched_filter import BASIS_LAYER, STRIDE, TEMPLATE_LAYERS
from keras_gw_resnet.models.ranking import (
    BEFORE,
    EARLY_BASIS_LAYER,
    EARLY_SAMPLES,
    LIGHT_BASIS_LAYER,
    LIGHT_LAYERS,
    LOW_PASS_LAYER,
    LOW_PASS_TAPS,
    OWN_LAYERS,
    OWN_STRIDE,
)
from keras_gw_resnet.simulation.populations import chirp_mass
from keras_gw_resnet.simulation.waveforms import plain_waveforms

if TYPE_CHECKING:
    import keras

    from keras_gw_resnet.strain.conditioning import Whitening

# A coalescence is looked for within so many seconds of the event, and in all detectors within what light takes between any two.
NEAR_SECONDS, LIGHT_SECONDS = 0.15, 0.03
# Component masses of the grid, in solar masses in the detector frame, and seconds of its waveforms.
MASSES, SECONDS = np.geomspace(5.0, 100.0, 14), 4.0
# Time of the waveform may differ from that of the template by so much, and matches so near to the best are alike.
ALIGNED_SECONDS, ALIKE = 0.02, 0.01


@dataclass(frozen=True)
class Template:
    """The template that fits best.

    Attributes:
        number, of: Which template, from 0, of what: "ranking statistic", "light binaries" or "matched filter".
        snr: Its signal-to-noise ratio in each detector, in column order.
        mass1, mass2, chirp_mass: Of the binary without spins on a grid that it is most like, solar masses in the detector frame.
        match: With that binary's whitened waveform, where the template sees it, from 0 to 1.
        chirp_mass_range: Smallest and largest chirp mass of those that are as like it.
    """

    number: int
    of: str
    snr: tuple[float, ...]
    mass1: float
    mass2: float
    chirp_mass: float
    match: float
    chirp_mass_range: tuple[float, float]


def best_template(
    model: keras.Model, strain: np.ndarray, at: float, filters: Sequence[np.ndarray | None], whitening: Whitening
) -> Template | None:
    """Return the Template of the largest network signal-to-noise ratio near an event; None where there is no matched filter.

    Args:
        model: `keras.Model`.
        strain: Whitened, (samples, detectors).
        at: Seconds from its first sample to the event.
        filters: Whitening filter of each detector; None: not known, which takes a flat spectrum.
        whitening: Whitening.
    """
    rate, found = whitening.sample_rate, None
    for of, phases, merger in _template_sets(model):
        seen = [_power(column, phases, merger, at, rate) for column in strain.T]
        near = 2 * round(LIGHT_SECONDS * rate) + 1
        joined = sum(scipy.ndimage.maximum_filter1d(power, near, axis=1) for power in seen)
        number, time = np.unravel_index(np.argmax(joined), joined.shape)
        if found is None or joined[number, time] > found[0]:
            around = slice(max(0, time - near // 2), time + near // 2 + 1)
            snr = tuple(float(np.sqrt(power[number, around].max())) for power in seen)
            found = joined[number, time], of, int(number), phases[:, number], merger, snr
    if found is None:
        return None
    _, of, number, phase, merger, snr = found
    return Template(number, of, snr, *_masses(phase, merger, filters[int(np.argmax(snr))], whitening))


def _template_sets(model):
    """Yield (of what, array (2, templates, samples) of unit waves, sample of their coalescence) of what a matched filter ranks or sees."""
    front = parts_of(model).front
    if not front.templates:
        return
    basis, merger = _kernels(model, BASIS_LAYER), front.template_samples * (1 - RINGDOWN)
    if not front.statistic_templates:
        yield "matched filter", _unit(_phases(model, TEMPLATE_LAYERS, front.template_stride) @ basis), merger
        return
    yield "ranking statistic", _unit(_phases(model, OWN_LAYERS, OWN_STRIDE) @ basis), merger
    if front.statistic_light:
        both = np.concatenate([basis, _kernels(model, LIGHT_BASIS_LAYER)])
        early, taps = _kernels(model, EARLY_BASIS_LAYER), _kernels(model, LOW_PASS_LAYER)[0]
        late, before = np.split(_phases(model, LIGHT_LAYERS, OWN_STRIDE), [len(both)], axis=2)
        # What comes earlier is seen at an eighth of the rate, behind the low pass.
        sparse = np.zeros((*before.shape[:2], EARLY_SAMPLES))
        sparse[..., ::STRIDE] = before @ early
        start = BEFORE
        waves = np.zeros((*before.shape[:2], start + basis.shape[1]))
        waves[..., : EARLY_SAMPLES + LOW_PASS_TAPS - 1] = scipy.signal.fftconvolve(sparse, taps[None, None], axes=2)
        waves[..., start:] += late @ both
        yield "light binaries", _unit(waves), start + merger


def _kernels(model, name):
    """Return the kernels of a convolution of one channel, array (kernels, samples)."""
    return model.get_layer(name).get_weights()[0][:, 0].T.astype(np.float64)


def _phases(model, names, stride):
    """Return templates in phase and in quadrature, (2, templates, kernels), at the middle of the times within a step that each is tried at."""
    weights = np.stack([model.get_layer(name).get_weights()[0][0].T for name in names]).astype(np.float64)
    shifts = STRIDE // stride
    return np.split(weights, shifts, axis=1)[shifts // 2]


def _unit(waves):
    """Return waves in phase and in quadrature that are orthonormal, template by template."""
    first = waves[0] / np.linalg.norm(waves[0], axis=-1, keepdims=True)
    second = waves[1] - np.sum(first * waves[1], axis=-1, keepdims=True) * first
    return np.stack([first, second / np.linalg.norm(second, axis=-1, keepdims=True)])


def _power(column, phases, merger, at, rate):
    """Return the squared signal-to-noise ratio of templates, (templates, times), for coalescences near an event."""
    power = sum(np.square(scipy.signal.fftconvolve(column[None], phase[:, ::-1], axes=1)) for phase in phases)
    # Sample i of it has the last sample of the template at sample i of the strain.
    middle = round(at * rate + phases.shape[-1] - 1 - merger)
    near = round(NEAR_SECONDS * rate)
    return power[:, max(0, middle - near) : middle + near]


@functools.lru_cache(maxsize=1)
def _grid(rate):
    """Return the masses of a grid of binaries, and their waveforms."""
    pairs = [(one, other) for one in MASSES for other in MASSES if other <= one]
    return pairs, plain_waveforms(pairs, rate, SECONDS)


def _masses(phase, merger, taps, whitening):
    """Return the masses, chirp mass, match and alike chirp masses of the binary whose waveform a template (2, samples) is most like."""
    rate = whitening.sample_rate
    pairs, waveforms = _grid(rate)
    if taps is not None:
        waveforms = scipy.signal.oaconvolve(waveforms, taps[None], mode="same", axes=1)
    length, middle = phase.shape[-1], round((1 - RINGDOWN) * SECONDS * rate + phase.shape[-1] - 1 - merger)
    near = slice(middle - round(ALIGNED_SECONDS * rate), middle + round(ALIGNED_SECONDS * rate) + 1)
    power = sum(np.square(scipy.signal.fftconvolve(waveforms, own[None, ::-1], axes=1))[:, near] for own in phase)
    whole = scipy.signal.fftconvolve(waveforms**2, np.ones((1, length)), axes=1)[:, near]
    match = np.sqrt(power / whole).max(axis=1)
    best, masses = int(np.argmax(match)), np.array(pairs)
    chirp = chirp_mass(*masses.T)
    alike = chirp[match > match[best] - ALIKE]
    one, other = map(float, masses[best])
    return one, other, float(chirp[best]), float(match[best]), (float(alike.min()), float(alike.max()))
