"""Networks by name: a new family is its own file, one line in this table, and one golden line in the tests."""

from __future__ import annotations

import difflib
import fnmatch
import re
from typing import TYPE_CHECKING

from keras_gw_resnet.errors import InputError
from keras_gw_resnet.models import cnn, composite, densenet, ensemble, highway, literature, resnet
from keras_gw_resnet.models.info import info_of
from keras_gw_resnet.models.network import as_saved, options_of, refuse_unknown

if TYPE_CHECKING:
    import keras

    from keras_gw_resnet.models.info import ModelInfo
    from keras_gw_resnet.models.parts import Parts

# name -> (constructor, builder whose signature names its options)
MODELS = {
    "resnet16": (resnet.ResNet16, resnet.ResNet),
    "resnet18": (resnet.ResNet18, resnet.ResNet),
    "resnet34": (resnet.ResNet34, resnet.ResNet),
    "resnet50": (resnet.ResNet50, resnet.ResNet),
    "resnet101": (resnet.ResNet101, resnet.ResNet),
    "resnet152": (resnet.ResNet152, resnet.ResNet),
    "highway20": (highway.Highway20, highway.HighwayNet),
    "highway36": (highway.Highway36, highway.HighwayNet),
    "densenet121": (densenet.DenseNet121, densenet.DenseNet),
    "densenet169": (densenet.DenseNet169, densenet.DenseNet),
    "densenet201": (densenet.DenseNet201, densenet.DenseNet),
    "residual-cnn": (cnn.ResidualCNN, cnn.ResidualCNN),
    "stacked-residual-highway": (composite.StackedResidualHighway, composite.StackedNetwork),
    "stacked-mixed": (composite.StackedMixed, composite.StackedNetwork),
    "plain18": (composite.Plain18, composite.StackedNetwork),
    "aresgw54": (literature.AresGW54, literature.AresGW54),
    "aresgw54-wide": (literature.AresGW54Wide, literature.AresGW54),
    "gabbard2018": (literature.Gabbard2018, literature.Gabbard2018),
    "george-huerta2018": (literature.GeorgeHuerta2018, literature.GeorgeHuerta2018),
    "aframe": (literature.Aframe, resnet.ResNet),
}
# Networks made of saved ones, which cannot be built without naming those, and are not listed.
JOINED = {"ensemble": (ensemble.SavedEnsemble, ensemble.SavedEnsemble)}


def list_models(pattern: str = "*") -> list[str]:
    """List the names of the networks that match a shell pattern, in natural order (resnet18 before resnet101)."""
    names = fnmatch.filter(MODELS, str(pattern))
    return sorted(names, key=lambda name: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)])


def model_options(name: str) -> list[str]:
    """Return the names of the keyword options of a network.

    Raises:
        InputError: Unknown name; the message gives the nearest.
    """
    return options_of(_entry(name)[1])


def _entry(name):
    known = {**MODELS, **JOINED}
    if not isinstance(name, str) or name not in known:
        near = difflib.get_close_matches(str(name), known, n=3, cutoff=0.5)
        hint = f"did you mean {', '.join(near)}?" if near else f"expected one of {', '.join(list_models())}"
        raise InputError(f"unknown model {name!r}; {hint}")
    return known[name]


def build_model(name: str, /, **options) -> keras.Model:
    """Build a network.

    Args:
        name: One of `list_models()`, or "ensemble" with `members`, the names of saved networks.
        **options: Keyword options of its constructor. With `weights` of a saved network, those that are not given are
            that network's, and so is its window.

    Returns:
        `keras.Model`.

    Raises:
        InputError: Unknown name or option, or options that do not fit together.
    """
    refuse_unknown(name, options, model_options(name))
    with as_saved(name, options) as given:
        return _entry(name)[0](**given)


def describe_model(name: str, /, **options) -> Parts:
    """Return the `parts.Parts` of a network without building it; arguments and errors as of `build_model`."""
    if name in JOINED:
        raise InputError(f"{name}: is described by its members; build it")
    refuse_unknown(name, options, model_options(name))
    return _entry(name)[0](**options, describe=True).parts


def model_info(name: str, /, **options) -> ModelInfo:
    """Describe a network without training it: depth, parameters, receptive field, stride, multiply-adds.

    Args:
        name: One of `list_models()`.
        **options: Keyword options of its constructor.

    Returns:
        `info.ModelInfo`.

    Raises:
        InputError: As `build_model`.
    """
    return info_of(build_model(name, **options))
