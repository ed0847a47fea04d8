"""Residual networks that find gravitational waves in detector strain."""

from importlib import import_module

__version__ = "0.1.0"

_PUBLIC = {
    "ResNet": "models.resnet",
    "ResNet16": "models.resnet",
    "ResNet18": "models.resnet",
    "ResNet34": "models.resnet",
    "ResNet50": "models.resnet",
    "ResNet101": "models.resnet",
    "ResNet152": "models.resnet",
    "build_model": "models.registry",
    "list_models": "models.registry",
    "load_model": "zoo",
    "InputError": "errors",
}

__all__ = list(_PUBLIC)


def __getattr__(name):
    # Keras and TensorFlow take seconds to import: they are loaded with the first network asked for.
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PUBLIC[name]}"), name)


def __dir__():
    return sorted([*globals(), *_PUBLIC])
