"""Saved networks: <folder>/model.keras beside <folder>/card.json.

The card says what a network needs (detectors, window, whitening), what it saw and how it does, and holds the
sha256 of the model file, which is checked before the file is opened.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from keras_gw_resnet.cards import check_card
from keras_gw_resnet.errors import InputError
from keras_gw_resnet.files import written_aside
from keras_gw_resnet.inputs import read_json
from keras_gw_resnet.models.parts import completed
from keras_gw_resnet.models.weights import find_model_file, load_keras_file
from keras_gw_resnet.portable import KERAS_RANGE, make_portable, round_filters

if TYPE_CHECKING:
    import keras

ADOPT = (
    "a network that was trained elsewhere gets its card by: keras-gw-resnet adopt MODEL.keras --like NAME --output DIR"
)

# What the card of a network that began with others says of their training.
OF_BEGINNING = ("config", "data", "examples", "begun_with")


def package_versions() -> dict[str, str]:
    """Return the versions of the packages that a saved network depends on."""
    versions = {}
    for name in ("keras-gw-resnet", "keras", "tensorflow", "jax", "numpy", "scipy", "h5py", "pycbc", "lalsuite"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def save_model(model: keras.Model, card: dict, folder: Path | str) -> dict:
    """Write model.keras (architecture and weights, no optimizer) and card.json into a folder.

    Args:
        model: `keras.Model`.
        card: Dictionary; parameters, multiply-adds per second of strain, sha256, package versions and date are added.
        folder: Where to write; files of these names in it are replaced.

    Returns:
        The card as written.
    """
    import keras

    from keras_gw_resnet.models.info import info_of

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    bare = keras.models.clone_model(model)
    bare.set_weights(model.get_weights())
    round_filters(bare)
    with written_aside(folder / "model.keras") as aside:
        bare.save(aside)
        make_portable(aside)
        sha256 = hashlib.sha256(aside.read_bytes()).hexdigest()
    card = {
        **card,
        "parameters": model.count_params(),
        "multiply_adds": info_of(model, card.get("sample_rate", 2048)).multiply_adds,
        "keras": KERAS_RANGE,
        "packages": package_versions(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "sha256": sha256,
    }
    _write_card(card, folder)
    return card


def _write_card(card, folder):
    with written_aside(Path(folder) / "card.json") as aside:
        aside.write_text(json.dumps(card, indent=1) + "\n")


def note_measurement(name_or_path: Path | str, kind: str, key: str, figures: dict) -> None:
    """Write what was measured into the card of a saved network.

    Args:
        name_or_path: Name in saved_models, its folder, or its model.keras.
        kind: "sets", "windows", "glitches" or "masses".
        key: Which data; figures of the same key are replaced.
        figures: Dictionary.
    """
    card = load_card(name_or_path)
    metrics = card.setdefault("metrics", {})
    metrics[kind] = {**metrics.get(kind, {}), key: figures}
    _write_card(card, find_model(name_or_path))


def note_selection(name_or_path: Path | str, text: str) -> None:
    """Write into the card of a saved network on which data choices were made, and on which not."""
    _write_card({**load_card(name_or_path), "selection": text}, find_model(name_or_path))


def find_model(name_or_path: Path | str) -> Path:
    """Return the folder of a saved network given its name in saved_models, its folder, or its model.keras.

    Raises:
        InputError: There is no such network.
    """
    return find_model_file(name_or_path).parent


def load_card(name_or_path: Path | str) -> dict:
    """Read the card of a saved network.

    Raises:
        InputError: No network, no card, or a card without the fields it has to have.
    """
    path = find_model(name_or_path) / "card.json"
    if not path.exists():
        raise InputError(f"{path}: no such file; {ADOPT}")
    card = read_json(path, "the card of a network")
    check_card(path, card)
    return completed(card)


def networks_in(options: dict) -> list:
    """List the saved networks that a network with these options joins or begins with."""
    return [*options.get("members", ()), *([options["weights"]] if options.get("weights") else [])]


def training_of(options: dict) -> dict | None:
    """Return {name: what was its training} of the saved networks that a network's options begin with or join."""
    found = {}
    for name in networks_in(options):
        try:
            card = load_card(name)
        except InputError:  # a model file alone says nothing
            continue
        training = card.get("training", {})
        found[card["name"]] = {key: training[key] for key in OF_BEGINNING if key in training}
    return found


def load_cards(names: Sequence[str], option: str) -> list[dict]:
    """Read the cards of several networks, whose results are told apart by name.

    Args:
        names: As for `load_card`, the first one given by itself, the others with a command-line option.
        option: That option.

    Raises:
        InputError: As of `load_card`, or two networks have one name.
    """
    cards = [load_card(name) for name in names]
    if len({card["name"] for card in cards}) < len(cards):
        raise InputError(f"{option} {' '.join(names[1:])}: two networks of one name; give each once")
    return cards


def load_model(name_or_path: Path | str) -> tuple[keras.Model, dict]:
    """Load a saved network and its card.

    Args:
        name_or_path: Name in saved_models, a folder with model.keras and card.json, or that model.keras.

    Returns:
        Tuple (keras.Model, card dictionary).

    Raises:
        InputError: No such network, a damaged file, or one whose sha256 is not the card's.
    """
    path, card = find_model_file(name_or_path), load_card(name_or_path)
    model = load_keras_file(path, card["sha256"])
    expected, found = (None, card["window_samples"], len(card["detectors"])), getattr(model, "input_shape", None)
    if found != expected:
        raise InputError(f"{path}: takes input of shape {found}, its card says {expected}")
    model.parts = _parts_in(card, model)
    return model, card


def _parts_in(card, model):
    """Return the Parts of a network that its card tells, or its architecture and options there; None: ones that the network has not."""
    from keras_gw_resnet.models.graph import head_of
    from keras_gw_resnet.models.parts import Parts
    from keras_gw_resnet.models.registry import describe_model

    options = {name: value for name, value in card["options"].items() if name != "weights"}
    shape = (card["window_samples"], len(card["detectors"]))
    try:
        parts = Parts.from_dict(card["parts"]) if card.get("parts") else None
        parts = parts or describe_model(card["model"], **{**options, "input_shape": shape})
        head = head_of(model, parts)
        features = head.input.shape[1] if head else None
    except (InputError, KeyError, TypeError, ValueError):  # a user's own network, or an ensemble
        return None
    return parts if features == parts.features else None
