"""The templates of a network's matched filter, from the waveforms that it is trained with."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import keras
import numpy as np
import scipy.signal

from keras_gw_resnet.datasets.signals import SignalSource
from keras_gw_resnet.errors import InputError
from keras_gw_resnet.models.front import RINGDOWN
from keras_gw_resnet.models.graph import parts_of
from keras_gw_resnet.models.matched_filter import BASIS_LAYER, STRIDE, set_phases, set_templates
from keras_gw_resnet.models.ranking import OWN_LAYERS, OWN_STRIDE
from keras_gw_resnet.progress import Bar
from keras_gw_resnet.simulation.populations import Population
from keras_gw_resnet.simulation.waveforms import make_bank

if TYPE_CHECKING:
    from collections.abc import Callable

    from keras_gw_resnet.datasets.noise import Noise
    from keras_gw_resnet.simulation.bank import WaveformBank
    from keras_gw_resnet.training.config import TrainingConfig
    from keras_gw_resnet.training.data import Batches

# Signals from which the basis is made and for which the templates are refined, those from which templates are chosen, and those that
# they are chosen to match.
DRAWN, CANDIDATES, MATCHED = 24000, 1500, 3000
# Waveforms without spins and higher modes from which the templates of a ranking statistic's own are drawn.
PLAIN = 3000
# Share of the signals, as a training draws them, whose lighter mass is left out of them.
LIGHT = 0.05
# Rounds of refinement.
ROUNDS = 8
SEED = 2005


def fill_templates(model: keras.Model, batches: Batches, config: TrainingConfig) -> None:
    """Fill the matched filter of a new network; one without templates is left as it is.

    The basis are the first right singular vectors of whitened signals aligned at coalescence, to half a step of the filter
    (arXiv 1005.0012). Of the signals, templates are chosen one by one, each the one that raises the mean match with the others the
    most. Then they are refined in turns: every signal, at whichever time of the filter's grid it matches best, goes to the template
    that it matches best, and a template becomes the plane that holds the most power of the signals it was given. A filter that tries the
    templates more often holds each at every shift.

    Args:
        model: `keras.Model`.
        batches: Batches of the training.
        config: TrainingConfig.

    Raises:
        InputError: Labelled windows, which hold no waveforms.
    """
    front = parts_of(model).front
    if not front.templates:
        return
    source = getattr(batches.training, "signals", None)
    if source is None:
        raise InputError(
            f"{config.data.path}: labelled windows hold no waveforms for the templates of {model.name}; begin with a trained network "
            "(--options.weights), or leave out --options.templates"
        )
    samples, _, kernels = model.get_layer(BASIS_LAYER).kernel.shape
    signals = draw_signals(source.bank, source, batches.training.noise, samples, config.seed)
    basis = first_vectors(signals[:, STRIDE:-STRIDE], kernels)
    set_templates(model, basis, *_templates(signals, basis, front.templates, front.template_stride))


def bank_without_spins(batches: Batches, config: TrainingConfig) -> WaveformBank:
    """Simulate the bank of waveforms that `fill_statistic` takes: without spins and higher modes.

    Their masses are uniform between the largest of the training's bank and the smallest that all but `LIGHT` of its signals exceed: the
    templates of lighter ones are the longest, and take noise for a signal the most often.

    Args:
        batches: Batches of the training, none of labelled windows.
        config: TrainingConfig.

    Returns:
        WaveformBank of `PLAIN` waveforms, as long as those of the training's bank.

    Raises:
        InputError: The training's bank does not know its masses.
    """
    bank = batches.training.signals.bank
    try:
        heavier, lighter, chirp = (bank.parameters[name] for name in ("mass1", "mass2", "mchirp"))
    except KeyError as error:
        raise InputError(
            f"{config.data.path}: the waveform bank does not say {error}; make it with 'keras-gw-resnet simulate bank', or leave out "
            "--statistic-templates"
        ) from error
    order, weight = np.argsort(lighter), chirp**config.signals.mass_power
    least = lighter[order][np.searchsorted(np.cumsum(weight[order]), LIGHT * weight.sum())]
    return plain_bank(config, (least, heavier.max()), bank.hplus.shape[1] / bank.sample_rate)


def plain_bank(config: TrainingConfig, masses: tuple[float, float], seconds: float) -> WaveformBank:
    """Simulate `PLAIN` waveforms of so many seconds, without spins and higher modes, of component masses in a range (solar masses)."""
    population = Population("without spins", mass_range=masses, spins="none", modes=((2, 2),))
    size = {"sample_rate": config.data.whitening.sample_rate, "duration_seconds": seconds}
    return make_bank(population, PLAIN, seed=config.seed, detectors=config.data.detectors, **size)  # ty: ignore[invalid-argument-type]


def fill_statistic(model: keras.Model, batches: Batches, config: TrainingConfig, bank: WaveformBank) -> None:
    """Fill the templates of its own that the ranking statistic of a network has, chosen and refined as `fill_templates` does.

    They are for every kind of noise as often as the training shows it, while those that the stack sees are for all whitening filters alike.
    Binaries without spins are a manifold of fewer dimensions, which takes fewer templates, and fewer templates have fewer chances to take
    noise for a signal.

    Args:
        model: `keras.Model` with `statistic_templates`, its matched filter filled.
        batches: Batches of the training.
        config: TrainingConfig.
        bank: WaveformBank, from `bank_without_spins`.
    """
    basis, training = basis_of(model), batches.training
    signals = draw_signals(bank, training.signals, training.noise, basis.shape[1], config.seed, as_shown=True)
    number = parts_of(model).front.statistic_templates
    set_phases(model, OWN_LAYERS, *_templates(signals, basis, number, OWN_STRIDE))


def first_vectors(rows: np.ndarray, number: int) -> np.ndarray:
    """Return the first right singular vectors of rows, array (number, columns)."""
    _, vectors = np.linalg.eigh(rows.T @ rows)
    return vectors.T[::-1][:number]


def basis_of(model: keras.Model) -> np.ndarray:
    """Return the orthonormal kernels of the matched filter of a network, array (kernels, samples)."""
    return np.asarray(keras.ops.convert_to_numpy(model.get_layer(BASIS_LAYER).kernel))[:, 0].T


def _templates(signals, basis, number, stride):
    """Return (in phase, in quadrature) of templates, chosen and refined, at all shifts within a step of the filter."""
    samples = basis.shape[1]
    phases = planes(signals, lambda strain, start: strain[:, start : start + samples] @ basis.T, number, stride)
    return [_at_all_shifts(phase, basis, stride) for phase in phases]


def planes(signals: np.ndarray, see: Callable, number: int, stride: int) -> tuple[np.ndarray, np.ndarray]:
    """Choose templates for signals, and refine them; see `fill_templates`.

    Args:
        signals: Whitened, array (signals, samples), in random order.
        see: Function of some of them, and of where the kernels begin, 0 to 2 * STRIDE, that gives what the kernels make of them.
        number: Of templates.
        stride: Samples from one time at which each is tried to the next.

    Returns:
        Tuple (in phase, in quadrature) of arrays (number, kernels).
    """
    seen = np.stack([see(signals, start) for start in range(0, 2 * STRIDE + 1, stride)], axis=1)
    return _refined(_chosen(signals, see, number), seen)


def draw_signals(
    bank: WaveformBank,
    source: SignalSource,
    noise: Noise,
    samples: int,
    seed: int,
    *,
    before: int = 0,
    as_shown: bool = False,
) -> np.ndarray:
    """Draw whitened signals of a bank as single detectors see them, float32 array (DRAWN, before + samples + 2 * STRIDE), of unit power.

    Detectors and settings are those of a SignalSource. The signals coalesce within half a step of where templates do, in the middle `samples`.
    The whitening filters are those of the noise, all alike often, or `as_shown`: as often as the noise is drawn.
    """
    # Detectors at the Earth's centre see every signal at the same time.
    centred = {name: replace(g, location=np.zeros(3)) for name, g in bank.detectors.items()}
    longer = before + samples + 2 * STRIDE
    around = (before + samples * (1 - RINGDOWN) + STRIDE * np.array([0.5, 1.5])) / longer
    settings = replace(source.settings.settled(), merger_range=tuple(around))
    jittered = SignalSource(replace(bank, detectors=centred), noise.taps, source.detectors, longer, settings)
    rng = np.random.default_rng((SEED, seed))
    each = DRAWN // len(source.detectors)
    if as_shown:
        filters = noise.draw(rng, each)[1]
    else:
        filters = np.stack([rng.integers(len(own), size=each) for own in noise.taps], axis=-1)
    parts = Bar(np.array_split(filters, -(-each // 500)), desc="signals for templates", unit="batch")
    drawn = [jittered.draw(rng, part)[0] for part in parts]
    signals = rng.permutation(np.concatenate(np.moveaxis(np.concatenate(drawn), -1, 0)))
    return signals / np.linalg.norm(signals[:, STRIDE:-STRIDE], axis=1, keepdims=True)


def _chosen(signals, see, number):
    """Choose templates, array (number, 2, kernels): each in phase and in quadrature; see `planes`."""
    candidates = signals[MATCHED : MATCHED + max(CANDIDATES, number)]
    samples = candidates.shape[1]
    around = np.pad(candidates, ((0, 0), (samples // 2, samples // 2)))
    shifted = np.imag(scipy.signal.hilbert(around, axis=1))[:, samples // 2 :][:, :samples]
    known, in_phase, in_quadrature = (see(each, STRIDE) for each in (signals[:MATCHED], candidates, shifted))
    in_phase = _unit(in_phase)
    in_quadrature = _unit(in_quadrature - np.sum(in_phase * in_quadrature, axis=1, keepdims=True) * in_phase)
    match = np.hypot(in_phase @ known.T, in_quadrature @ known.T)
    best, chosen = np.zeros(len(known), match.dtype), []
    for _ in range(number):
        chosen.append(int(np.argmax(np.maximum(match, best).mean(axis=1))))
        best = np.maximum(best, match[chosen[-1]])
    return np.stack([in_phase[chosen], in_quadrature[chosen]], axis=1)


def _refined(templates, seen):
    """Refine templates (number, 2, kernels) for signals (signals, times, kernels); return (in phase, in quadrature)."""
    number, signals = len(templates), np.arange(len(seen))
    for _ in Bar(range(ROUNDS), desc="templates", unit="round"):
        power = sum(np.square(seen @ phase.T) for phase in np.moveaxis(templates, 1, 0))
        best = power.reshape(len(seen), -1).argmax(axis=1)
        matched, owner = seen[signals, best // number], best % number
        for index in range(number):
            own = matched[owner == index]
            # One signal is no plane.
            if len(own) > 1:
                templates[index] = np.linalg.svd(own, full_matrices=False)[2][:2]
    return templates[:, 0], templates[:, 1]


def _at_all_shifts(coefficients, basis, stride):
    """Return templates (number, kernels) at all shifts within a step of the filter, array (shifts * number, kernels)."""
    if stride == STRIDE:
        return coefficients
    waves = np.pad(coefficients @ basis, ((0, 0), (STRIDE, STRIDE)))
    # They lie evenly around the template; those of a stride of 1 from 3 samples earlier to 4 later.
    first = STRIDE + (STRIDE - stride) // 2
    shifted = [waves[:, first - later :][:, : basis.shape[1]] for later in range(0, STRIDE, stride)]
    return np.concatenate([wave @ basis.T for wave in shifted])


def _unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)
