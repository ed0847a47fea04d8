"""Export trained networks to other formats, and make sure that they stay what they were.

`keras.Model.quantize("int8")` is not among them: Keras has it for dense layers, and the networks are stacks of Conv1D.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

import numpy as np

from keras_gw_resnet.errors import InputError, first_line
from keras_gw_resnet.files import written_aside
from keras_gw_resnet.models.heads import USUAL_SAMPLES

if TYPE_CHECKING:
    import keras

LARGEST_DIFFERENCE = 1e-4


def export_model(model: keras.Model, card: dict, form: str, folder: Path) -> tuple[Path, float]:
    """Export a network, read the export back and compare the scores of random strain.

    Args:
        model: `keras.Model` with one input and one output.
        card: Its card, written beside the export.
        form: "savedmodel" or "onnx".
        folder: Folder to write; it appears when the comparison has succeeded.

    Returns:
        Tuple (path of the export, largest difference relative to the largest score, or 1 if that is smaller).

    Raises:
        InputError: The export gives other scores, or a package that ONNX needs is missing.
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        raise InputError(f"exports need Keras on TensorFlow, not on {keras.backend.backend()}; unset KERAS_BACKEND")
    shape = [size or USUAL_SAMPLES for size in model.input_shape[1:]]
    strain = np.random.default_rng(0).standard_normal((8, *shape), np.float32)
    expected = np.asarray(model(strain, training=False))
    with written_aside(folder) as aside:
        aside.mkdir()
        try:
            name, scores = FORMATS[form](model, aside, strain)
        except InputError:
            raise
        except Exception as error:  # whatever the exporters raise
            raise InputError(
                f"{folder}: the {form} export failed ({first_line(error)}); nothing was written"
            ) from error
        difference = float(np.abs(scores - expected).max() / max(1.0, np.abs(expected).max()))
        if not difference <= LARGEST_DIFFERENCE:
            raise InputError(
                f"{folder}: the {form} export differs from the network by {difference:.1e} in its scores; "
                f"at most {LARGEST_DIFFERENCE:g} is accepted, nothing was written"
            )
        (aside / "card.json").write_text(json.dumps(card, indent=2) + "\n")
    return folder / name, difference


def _savedmodel(model, folder, strain):
    import keras

    model.export(folder / "saved_model", format="tf_saved_model", verbose=False)
    served = keras.layers.TFSMLayer(str(folder / "saved_model"), call_endpoint="serve")
    return "saved_model", np.asarray(served(strain))


def _without_normalization(model):
    """Copy a network with its input normalisation as plain scale and offset: tf2onnx loses the constants of the layer."""
    import keras

    def swap(layer):
        if not isinstance(layer, keras.layers.Normalization):
            return type(layer).from_config(layer.get_config())
        mean, deviation = (np.ravel(values) for values in (layer.mean, np.sqrt(layer.variance)))
        return keras.layers.Rescaling((1 / deviation).tolist(), (-mean / deviation).tolist(), name=layer.name)

    copy = keras.models.clone_model(model, clone_function=swap, recursive=True)
    copy.set_weights(model.get_weights())
    return copy


def _onnx(model, folder, strain):
    try:
        import onnxruntime
        import tf2onnx.optimizer
    except ImportError as error:
        raise InputError(
            f"--format onnx needs the package {error.name}; install it with 'make extras' or: pip install tf2onnx onnx onnxruntime"
        ) from error
    path, passes = folder / "model.onnx", tf2onnx.optimizer._optimizers
    with warnings.catch_warnings(), mock.patch.dict(passes):
        warnings.simplefilter("ignore")
        # tf2onnx repeats its passes until none changes the graph; on a matched filter that joins detectors this one never ends.
        passes.pop("merge_duplication", None)
        plain = _without_normalization(model)
        plain(strain)  # Keras exports networks that have been called
        plain.export(path, format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(str(path))
    return path.name, session.run(None, {session.get_inputs()[0].name: strain})[0]


FORMATS = {"savedmodel": _savedmodel, "onnx": _onnx}
