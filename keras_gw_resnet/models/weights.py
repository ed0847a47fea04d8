"""Find and load the files of saved networks."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

from keras_gw_resnet.archives import check_archive, sha256_of
from keras_gw_resnet.errors import InputError, first_line
from keras_gw_resnet.hub import fetched, is_address
from keras_gw_resnet.inputs import read_json
from keras_gw_resnet.models.parts import completed

if TYPE_CHECKING:
    import keras

# How the files end that `keras.Model.save_weights` writes.
WEIGHTS = ".weights.h5"
# Values that a layer gives for one example.
LARGEST_OUTPUT = 1 << 27
# Names for whichever saved network is the best of its kind.
ALIASES = {"flagship": "resnet18-w16-consistent"}


def saved_models_folder() -> Path:
    """Return the folder of the networks that ship with the project.

    That which KERAS_GW_RESNET_SAVED_MODELS names, or the one inside an installed package, or the one of the checkout.
    """
    _, package, checkout = Path(__file__).parents[:3]
    installed = package / "saved_models"
    default = installed if installed.is_dir() else checkout / "saved_models"
    return Path(os.environ.get("KERAS_GW_RESNET_SAVED_MODELS", default))


def list_saved() -> list[str]:
    """List the names of the networks in `saved_models_folder()`."""
    return sorted(card.parent.name for card in saved_models_folder().glob("*/card.json"))


def find_model_file(name_or_path: Path | str) -> Path:
    """Return the model file of a saved network given its name, its folder, the file itself, or its address hf://OWNER/NAME.

    Raises:
        InputError: There is none.
    """
    if is_address(name_or_path):
        return fetched(name_or_path) / "model.keras"
    path, name = Path(str(name_or_path)), ALIASES.get(str(name_or_path), str(name_or_path))
    for candidate in (path, path / "model.keras", saved_models_folder() / name / "model.keras"):
        if candidate.is_file() and candidate.suffix == ".keras":
            return candidate
    known = ", ".join(list_saved()) or "none"
    raise InputError(
        f"{name_or_path}: no saved network there (expected model.keras and card.json); by name there are: {known}"
    )


def find_weights(name_or_path: Path | str) -> Path:
    """Return the file that weights come from: a .weights.h5 file, or what `find_model_file` finds."""
    path = Path(str(name_or_path))
    if not path.name.endswith(WEIGHTS):
        return find_model_file(name_or_path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected one that keras.Model.save_weights wrote")
    return path


def card_beside(path: Path) -> dict:
    """Return what the card beside a model file says, {} where there is none."""
    card = path.parent / "card.json"
    said = read_json(card, "the card of a network") if card.exists() else {}
    if not isinstance(said, dict) or not isinstance(said.get("sha256", ""), str):
        raise InputError(f"{card}: is no card; train or fetch the network again")
    return completed(said)


def load_keras_file(path: Path, expected_sha256: str | None = None) -> keras.Model:
    """Load a .keras file with safe_mode on, after checking its sha256.

    Args:
        path: pathlib.Path of the file.
        expected_sha256: None: that of the card beside the file, where there is one.

    Returns:
        `keras.Model`, not compiled.

    Raises:
        InputError: Another sha256, or a file that is damaged, declares more than it holds, or that Keras cannot load.
    """
    if expected_sha256 is None:
        expected_sha256 = card_beside(path).get("sha256")
    require_sha256(path, expected_sha256)
    return load_archive(path)


def require_sha256(path: Path, expected_sha256: str | None) -> None:
    """Raise InputError where a file has another sha256 than this; None: any will do."""
    found = sha256_of(path)
    if expected_sha256 is not None and found != expected_sha256:
        raise InputError(
            f"{path}: sha256 is {found[:12]}..., the card says {expected_sha256[:12]}...; "
            "the file was changed or damaged, fetch or train it again (if you trained it further: keras-gw-resnet adopt)"
        )


def load_archive(path: Path, *, compile: bool = False) -> keras.Model:  # noqa: A002  as Keras calls it
    """Load a .keras file with safe_mode on, after looking at what it declares.

    Args:
        path: File.
        compile: Whether optimizer and loss are loaded too.

    Returns:
        `keras.Model`.

    Raises:
        InputError: The file is missing, damaged, hostile, or Keras cannot load it.
    """
    import keras

    from keras_gw_resnet.models.nodes import output_shapes

    check_archive(path)
    try:
        model = keras.saving.load_model(path, compile=compile, safe_mode=True)
    except Exception as error:  # Keras and its backends raise errors of every kind for what a file may ask for
        raise InputError(f"{path}: Keras cannot load it ({first_line(error)}); train or fetch it again") from error
    largest = max((math.prod(shape[1:]) for shape in output_shapes(model) if None not in shape[1:]), default=0)
    if largest > LARGEST_OUTPUT:
        raise InputError(
            f"{path}: a layer gives {largest:.3g} values for one example; expected {LARGEST_OUTPUT} at most"
        )
    return model
