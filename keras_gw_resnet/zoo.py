"""Saved networks: <folder>/model.keras beside <folder>/card.json.

The card says what a network needs (detectors, window, whitening), what it saw and how it does, and holds the
sha256 of the model file, which is checked before the file is opened.
"""

import hashlib
import json
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from keras_gw_resnet.errors import InputError
from keras_gw_resnet.files import written_aside
from keras_gw_resnet.models.weights import find_model_file, load_keras_file

CARD_FIELDS = (
    "name",
    "model",
    "options",
    "sample_rate",
    "detectors",
    "window_samples",
    "whitening",
    "timing",
    "sha256",
)


def package_versions():
    """Return the versions of the packages that a saved network depends on."""
    versions = {}
    for name in ("keras-gw-resnet", "keras", "tensorflow", "jax", "numpy", "scipy", "h5py", "pycbc", "lalsuite"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def save_model(model, card, folder):
    """Write model.keras (architecture and weights, no optimizer) and card.json into a folder.

    Args:
        model: `keras.Model`.
        card: Dictionary; sha256, package versions and date are added.
        folder: Where to write; files of these names in it are replaced.

    Returns:
        The card as written.
    """
    import keras

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    bare = keras.models.clone_model(model)
    bare.set_weights(model.get_weights())
    with written_aside(folder / "model.keras") as aside:
        bare.save(aside)
        sha256 = hashlib.sha256(aside.read_bytes()).hexdigest()
    card = {
        **card,
        "parameters": model.count_params(),
        "packages": package_versions(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "sha256": sha256,
    }
    with written_aside(folder / "card.json") as aside:
        aside.write_text(json.dumps(card, indent=2) + "\n")
    return card


def find_model(name_or_path):
    """Return the folder of a saved network given its name in saved_models, its folder, or its model.keras.

    Raises:
        InputError: There is no such network.
    """
    return find_model_file(name_or_path).parent


def load_card(name_or_path):
    """Read the card of a saved network.

    Raises:
        InputError: No network, no card, or a card without the fields it has to have.
    """
    folder = find_model(name_or_path)
    try:
        card = json.loads((folder / "card.json").read_text())
    except FileNotFoundError as error:
        raise InputError(
            f"{folder / 'card.json'}: no such file; a model.keras without its card cannot be used here"
        ) from error
    except ValueError as error:
        raise InputError(f"{folder / 'card.json'}: is no JSON; train or fetch the network again") from error
    missing = [field for field in CARD_FIELDS if field not in card]
    if missing:
        raise InputError(f"{folder / 'card.json'}: lacks {', '.join(missing)}; train or fetch the network again")
    return card


def load_model(name_or_path):
    """Load a saved network and its card.

    Args:
        name_or_path: Name in saved_models, a folder with model.keras and card.json, or that model.keras.

    Returns:
        Tuple (keras.Model, card dictionary).

    Raises:
        InputError: No such network, a damaged file, or one whose sha256 is not the card's.
    """
    folder, card = find_model(name_or_path), load_card(name_or_path)
    model = load_keras_file(folder / "model.keras", card["sha256"])
    expected = (None, card["window_samples"], len(card["detectors"]))
    if tuple(model.input_shape) != expected:
        raise InputError(
            f"{folder / 'model.keras'}: takes input of shape {tuple(model.input_shape)}, its card says {expected}"
        )
    return model, card
