"""The templates of light binaries that a ranking statistic has beside its others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras
import numpy as np
import scipy.signal

from keras_gw_resnet.models.graph import parts_of
from keras_gw_resnet.models.matched_filter import STRIDE, set_phases
from keras_gw_resnet.models.ranking import (
    BEFORE,
    EARLY_BASIS,
    EARLY_BASIS_LAYER,
    EARLY_SAMPLES,
    LIGHT_BASIS,
    LIGHT_BASIS_LAYER,
    LIGHT_LAYERS,
    LIGHT_SCORE,
    LOW_PASS_LAYER,
    LOW_PASS_TAPS,
    OWN_STRIDE,
)
from keras_gw_resnet.training.templates import basis_of, draw_signals, first_vectors, plain_bank, planes

if TYPE_CHECKING:
    from keras_gw_resnet.simulation.bank import WaveformBank
    from keras_gw_resnet.training.config import TrainingConfig
    from keras_gw_resnet.training.data import Batches

# Component masses, in solar masses, and seconds of their waveforms.
MASSES, SECONDS = (5.0, 16.0), 4.0
# Natural logarithm of how much likelier a light binary is than noise where the stack says what it says of noise in the median. Of signals of SNR 8 to 10
# of a validation the flagship finds at 100 false alarms a month 0.66 of light binaries and 0.92 of heavy ones; at 5.2, 0.63 and 0.93.
STACK_ABOVE = 6.2
# Windows of noise of which that median is.
WEIGHED = 512
# Where the low pass halves, as a share of the highest frequency: 100 Hz at 2048 Hz. What is earlier than 0.5 s is below 75 Hz.
CUTOFF = 100 / 1024


def bank_of_light(config: TrainingConfig) -> WaveformBank:
    """Simulate the bank of waveforms that `fill_light` takes."""
    return plain_bank(config, MASSES, SECONDS)


def fill_light(model: keras.Model, batches: Batches, config: TrainingConfig, bank: WaveformBank) -> None:
    """Fill the templates of light binaries that the ranking statistic of a network has, and the kernels that they are sums of.

    The kernels are the first right singular vectors of the whitened signals: of what the kernels of the other templates leave of their last half
    second, and of the half second before, behind the low pass. The templates are chosen and refined as `templates.fill_templates` does.

    Args:
        model: `keras.Model` with `statistic_light`, its matched filter filled.
        batches: Batches of the training.
        config: TrainingConfig.
        bank: WaveformBank, from `bank_of_light`.
    """
    basis = basis_of(model)
    training, samples = batches.training, basis.shape[1]
    signals = draw_signals(bank, training.signals, training.noise, samples, config.seed, before=BEFORE, as_shown=True)
    taps = low_pass()
    late = _late(signals, STRIDE, samples)
    more = first_vectors(late - late @ basis.T @ basis, LIGHT_BASIS)
    early_basis = first_vectors(_early(signals, STRIDE, taps), EARLY_BASIS)
    both = np.concatenate([basis, more])

    def see(strain, start):
        return np.concatenate(
            [_late(strain, start, samples) @ both.T, _early(strain, start, taps) @ early_basis.T], axis=1
        )

    phases = planes(signals, see, parts_of(model).front.statistic_light, OWN_STRIDE)
    for name, values in (
        (LIGHT_BASIS_LAYER, more.T),
        (LOW_PASS_LAYER, taps[:, None]),
        (EARLY_BASIS_LAYER, early_basis.T),
    ):
        model.get_layer(name).set_weights([values[:, None]])
    set_phases(model, LIGHT_LAYERS, *(_at_all_shifts(phase, both, early_basis) for phase in phases))


def weigh_light(model: keras.Model, noise: np.ndarray) -> None:
    """Set the constant of the evidence of light binaries: as if the stack found them `STACK_ABOVE` more likely than it finds noise in the median.

    Args:
        model: `keras.Model` with `statistic_light`, filled.
        noise: Whitened, (windows, samples, detectors).
    """
    score = model.get_layer(LIGHT_SCORE)
    given = keras.Model(model.input, score.input).predict(noise[:WEIGHED], verbose=0)
    kernel, _ = score.get_weights()
    share, heavy = kernel[0, 0, 0], kernel[0, 1, 0]
    # What is left of the evidence without what is ranked.
    stack = np.median(given[:, :, 0] + given[:, :, 1] * heavy / share)
    score.set_weights([kernel, np.reshape((1 - share) * stack + STACK_ABOVE, 1)])


def low_pass() -> np.ndarray:
    """Return the taps of the low pass; what passes keeps its power when one sample of `STRIDE` is taken."""
    return scipy.signal.firwin(LOW_PASS_TAPS, CUTOFF) * np.sqrt(STRIDE)


def _late(signals, start, samples):
    return signals[:, BEFORE + start : BEFORE + start + samples]


def _early(signals, start, taps):
    """Return what the early kernels see of signals whose late kernels begin at a sample."""
    return sum(tap * signals[:, start + at : start + at + EARLY_SAMPLES : STRIDE] for at, tap in enumerate(taps))


def _at_all_shifts(coefficients, late, early):
    """Return templates (number, kernels) tried at all times within a step, array (shifts * number, kernels)."""
    waves, before = (
        part @ own for part, own in zip(np.split(coefficients, [len(late)], axis=1), (late, early), strict=True)
    )
    shifts = np.arange(0, STRIDE, OWN_STRIDE) - (STRIDE - OWN_STRIDE) / 2
    return np.concatenate(
        [
            np.concatenate([_later(waves, own) @ late.T, _later(before, own / STRIDE) @ early.T], axis=1)
            for own in shifts
        ]
    )


def _later(waves, samples):
    """Return rows so many samples later, also a part of one; what comes from beyond their ends is zero."""
    length = 2 * waves.shape[1]
    spectrum = np.fft.rfft(waves, length, axis=1) * np.exp(-2j * np.pi * np.fft.rfftfreq(length) * samples)
    return np.fft.irfft(spectrum, length, axis=1)[:, : waves.shape[1]]
