"""Networks by name."""

import difflib
import fnmatch
import inspect
import re

from keras_gw_resnet.errors import InputError
from keras_gw_resnet.models import resnet

MODELS = {
    "resnet16": resnet.ResNet16,
    "resnet18": resnet.ResNet18,
    "resnet34": resnet.ResNet34,
    "resnet50": resnet.ResNet50,
    "resnet101": resnet.ResNet101,
    "resnet152": resnet.ResNet152,
}
_BUILDERS = dict.fromkeys(MODELS, resnet.ResNet)


def list_models(pattern="*"):
    """List the names of the networks that match a shell pattern, in natural order (resnet18 before resnet101)."""
    names = fnmatch.filter(MODELS, pattern)
    return sorted(names, key=lambda name: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)])


def build_model(name, /, **options):
    """Build an untrained network.

    Args:
        name: One of `list_models()`.
        **options: Keyword options of its constructor.

    Returns:
        `keras.Model`.

    Raises:
        InputError: Unknown name or option, or options that do not fit together.
    """
    if name not in MODELS:
        near = difflib.get_close_matches(str(name), MODELS, n=3, cutoff=0.5) or list_models()
        raise InputError(f"unknown model {name!r}; did you mean {', '.join(near)}?")
    known = [p.name for p in inspect.signature(_BUILDERS[name]).parameters.values() if p.kind is p.KEYWORD_ONLY]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise InputError(f"{name} has no option {', '.join(unknown)}; its options are {', '.join(known)}")
    return MODELS[name](**options)
