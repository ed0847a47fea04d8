"""The templates of a network's stem, from the waveforms that it is trained with."""

from dataclasses import replace

import numpy as np
import scipy.signal

from keras_gw_resnet.datasets.batches import SignalSource
from keras_gw_resnet.errors import InputError
from keras_gw_resnet.models.templates import BASIS_LAYER, RINGDOWN, TEMPLATE_LAYERS, has_templates, set_templates

# Signals from which the basis is made, and from which the templates are chosen to match the others.
DRAWN, CANDIDATES, MATCHED = 8000, 1500, 3000
SEED = 2005


def fill_templates(model, batches, config):
    """Fill the stem of a new network; one without templates is left as it is.

    The basis are the first right singular vectors of whitened signals aligned at coalescence (arXiv 1005.0012). Templates are
    chosen one by one, each the one that raises the mean match with the signals the most.

    Args:
        model: `keras.Model`.
        batches: Batches of the training.
        config: TrainingConfig.

    Raises:
        InputError: Labelled windows, which hold no waveforms.
    """
    if not has_templates(model):
        return
    source = getattr(batches.training, "signals", None)
    if source is None:
        raise InputError(
            f"{config.data}: labelled windows hold no waveforms for the templates of {model.name}; begin with a trained network "
            "(--options.weights), or leave out --options.templates"
        )
    samples, _, kernels = model.get_layer(BASIS_LAYER).kernel.shape
    signals = _signals(source, batches.training.noise, samples, config.seed)
    signals /= np.linalg.norm(signals, axis=1, keepdims=True)
    _, vectors = np.linalg.eigh(signals.T @ signals)
    basis = vectors.T[::-1][:kernels]
    number = model.get_layer(TEMPLATE_LAYERS[0]).filters
    set_templates(model, basis, *_chosen(signals, basis, number))


def _signals(source, noise, samples, seed):
    """Draw whitened signals of single detectors, coalescing at one place, float32 array (DRAWN, samples)."""
    # Detectors at the Earth's centre see every signal at the same time.
    centred = {name: replace(g, location=np.zeros(3)) for name, g in source.bank.detectors.items()}
    settings = replace(source.settings, merger_range=(1 - RINGDOWN,) * 2, snr_start=None)
    aligned = SignalSource(replace(source.bank, detectors=centred), noise.taps, source.detectors, samples, settings)
    rng = np.random.default_rng((SEED, seed))
    each = DRAWN // len(source.detectors)
    filters = np.stack([rng.integers(len(own), size=each) for own in noise.taps], axis=-1)
    drawn = [aligned.draw(rng, part)[0] for part in np.array_split(filters, -(-each // 500))]
    return rng.permutation(np.concatenate(np.moveaxis(np.concatenate(drawn), -1, 0)))


def _chosen(signals, basis, number):
    """Choose templates, (in phase, in quadrature), each an array (number, kernels)."""
    known, candidates = signals[:MATCHED] @ basis.T, signals[MATCHED : MATCHED + max(CANDIDATES, number)]
    around = candidates.shape[1] // 2
    shifted = np.imag(scipy.signal.hilbert(np.pad(candidates, ((0, 0), (around, around))), axis=1))[:, around:-around]
    in_phase, in_quadrature = _unit(candidates @ basis.T), shifted @ basis.T
    in_quadrature = _unit(in_quadrature - np.sum(in_phase * in_quadrature, axis=1, keepdims=True) * in_phase)
    match = np.hypot(in_phase @ known.T, in_quadrature @ known.T)
    best, chosen = np.zeros(len(known), match.dtype), []
    for _ in range(number):
        chosen.append(int(np.argmax(np.maximum(match, best).mean(axis=1))))
        best = np.maximum(best, match[chosen[-1]])
    return in_phase[chosen], in_quadrature[chosen]


def _unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)
