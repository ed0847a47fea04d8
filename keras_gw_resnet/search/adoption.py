"""Make a network searchable that was trained on outside the project: a card like that of a saved network, calibrated anew."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import keras

from keras_gw_resnet.archives import NETWORK_FILES
from keras_gw_resnet.datasets.gaussian_noise import gaussian_noise
from keras_gw_resnet.errors import InputError
from keras_gw_resnet.models.weights import load_keras_file
from keras_gw_resnet.search.calibration import calibrate_statistic, calibrate_timing
from keras_gw_resnet.search.scan import Scanner
from keras_gw_resnet.simulation.bank import load_bank
from keras_gw_resnet.simulation.sets import psds_of
from keras_gw_resnet.simulation.waveforms import make_bank
from keras_gw_resnet.strain.conditioning import Whitening
from keras_gw_resnet.zoo import load_model
from keras_gw_resnet.zoo import save_model as write_model

# Waveforms that the calibration draws its signals from, and their seed.
WAVEFORMS, BANK_SEED = 400, 1_000_099
# What of a card says how the strain is prepared and what the network's positions mean.
TAKEN = ("sample_rate", "detectors", "window_samples", "whitening", "training")


def adopted_card(
    model: keras.Model,
    like: str,
    *,
    name: str | None = None,
    bank: Path | str | None = None,
    psd: Sequence[str] | None = None,
) -> dict:
    """Return a card for a network: prepared strain as of a saved network, event times and statistic calibrated anew.

    Args:
        model: `keras.Model`, for example a saved network that was trained further with `fit`. It gives a logit.
        like: The saved network (name, folder or file) whose whitened strain it takes.
        name: Name of the network; None: that of the saved one with "-adopted".
        bank: File of a waveform bank for the calibration; None: 400 waveforms of the population that the saved network was
            trained on are simulated, which takes some tens of seconds.
        psd: Names or files of the noise spectra; None: those that the saved network was trained on.

    Returns:
        Dictionary as `zoo.save_model` takes it. What was measured with the saved network is not in it.

    Raises:
        InputError: No such network, one that takes other strain or is no functional Keras model, or a calibration that lacks population
            or spectra.
    """
    known, card = load_model(like)
    expected, model = known.input_shape, as_functional(model)
    if model.input_shape != expected or model.output_shape[-1] != 1:
        raise InputError(
            f"{model.name}: takes {model.input_shape} and gives {model.output_shape}; "
            f"{card['name']} takes {expected} and gives {known.output_shape}: expected a network like it"
        )
    data = card.get("training", {}).get("data", {})
    adopted = {
        "name": name or f"{card['name']}-adopted",
        "model": card["model"] if _alike(model, known) else model.name,
        "options": card["options"] if _alike(model, known) else {},
        **{field: card[field] for field in TAKEN if field in card},
        "adopted": {
            "like": card["name"],
            "sha256": card["sha256"],
            "note": "trained further elsewhere, on data that this card does not know; 'training' is that of the network it is like",
        },
    }
    detectors = tuple(card["detectors"])
    scanner, whitening = Scanner(model), Whitening(**card["whitening"])
    spectra = psds_of(psd or _psds(data, like), detectors)
    noise = gaussian_noise(spectra, card["window_samples"], whitening)
    signals = _bank(bank, data, detectors, whitening)
    given = (scanner, signals, noise.taps, detectors, whitening)
    return {**adopted, "timing": calibrate_timing(*given), "signals": calibrate_statistic(*given)}


def save_model(
    model: keras.Model,
    folder: Path | str,
    *,
    like: str,
    name: str | None = None,
    bank: Path | str | None = None,
    psd: Sequence[str] | None = None,
    overwrite: bool = False,
) -> dict:
    """Save a network so that it can be searched with: model.keras and card.json; see `adopted_card`.

    With `overwrite` a network that the folder holds is replaced.

    Returns:
        The card as written.

    Raises:
        InputError: The folder holds a network, or as of `adopted_card`.
    """
    there = [name for name in NETWORK_FILES if (Path(folder) / name).exists()]
    if there and not overwrite:
        raise InputError(f"{folder}: holds {there[0]} already; choose another folder, or give overwrite=True")
    model = as_functional(model)
    card = adopted_card(model, like, name=name or Path(folder).resolve().name, bank=bank, psd=psd)
    return write_model(model, card, folder)


def as_functional(model: keras.Model) -> keras.Model:
    """Return a network as a functional model.

    Raises:
        InputError: It is none, or has layers that bare Keras does not load with safe_mode on.
    """
    if not type(model).__module__.startswith("keras.") or not getattr(model, "inputs", None):
        raise InputError(
            f"{getattr(model, 'name', model)!r:.100}: expected a functional Keras model, keras.Model(inputs, outputs), as "
            "keras.saving.load_model gives back a saved network"
        )
    for layer in _layers(model):
        if isinstance(layer, keras.layers.Lambda) or not type(layer).__module__.startswith("keras."):
            raise InputError(
                f"{model.name}: bare Keras does not load its layer {layer.name} ({type(layer).__name__}) with safe_mode on; "
                "build it of Keras' own layers"
            )
    return (
        keras.Model(model.inputs[0], model.outputs[0], name=model.name)
        if isinstance(model, keras.Sequential)
        else model
    )


def _layers(model):
    for layer in model.layers:
        yield layer
        yield from _layers(layer) if isinstance(layer, keras.Model) else ()


def load_trained(path: Path) -> keras.Model:
    """Load a .keras file that somebody trained on, whatever a card beside it says, with safe_mode on.

    Raises:
        InputError: No such file, or Keras cannot load it.
    """
    path = Path(path)
    if not path.is_file() or path.suffix != ".keras":
        raise InputError(f"{path}: expected a .keras file, as model.save writes it")
    return load_keras_file(path, hashlib.sha256(path.read_bytes()).hexdigest())


def _alike(model, known):
    """Say whether two networks have the same layers, but for their weights."""
    shapes = [
        [(layer.name, [tuple(w.shape) for w in layer.weights]) for layer in each.layers] for each in (model, known)
    ]
    return shapes[0] == shapes[1]


def _bank(bank, data, detectors, whitening):
    if bank is not None:
        found = load_bank(bank)
        if found.sample_rate != whitening.sample_rate:
            raise InputError(f"{bank}: is sampled at {found.sample_rate} Hz; expected {whitening.sample_rate} Hz")
        return found
    population = data.get("bank", {}).get("population")
    if population is None:
        raise InputError(
            "the card that it is like names no population; give the calibration a waveform bank (--bank FILE)"
        )
    try:
        return make_bank(population, WAVEFORMS, seed=BANK_SEED, sample_rate=whitening.sample_rate, detectors=detectors)
    except InputError as error:
        raise InputError(f"{error}; give the calibration a waveform bank (--bank FILE)") from error


def _psds(data, like):
    """Return the names of the analytic spectra of a training, each as "H1=NAME"."""
    names = {f"{d}={name}" for d, own in data.get("psds", {}).items() for name in own if not Path(name).suffix}
    if not names:
        raise InputError(f"{like}: its card names no noise spectra for the calibration; give some (--psd NAME|FILE...)")
    return sorted(names)
