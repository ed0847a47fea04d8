"""Residual networks that find gravitational waves in detector strain."""

from importlib import import_module

__version__ = "0.1.0"

_ROOMS = {
    "models.resnet": ("ResNet", "ResNet16", "ResNet18", "ResNet34", "ResNet50", "ResNet101", "ResNet152"),
    "models.highway": ("HighwayNet", "Highway20", "Highway36"),
    "models.densenet": ("DenseNet", "DenseNet121", "DenseNet169", "DenseNet201"),
    "models.cnn": ("ResidualCNN",),
    "models.composite": ("StackedNetwork",),
    "models.ensemble": ("Ensemble",),
    "models.literature": ("AresGW54", "AresGW54Wide", "Gabbard2018", "GeorgeHuerta2018", "Aframe"),
    "models.registry": ("build_model", "list_models", "model_info"),
    "strain.files": ("find_segments",),
    "strain.conditioning": ("preprocess_input",),
    "search.detector": ("Detector",),
    "search.adoption": ("save_model",),
    "training.datasets": ("datasets_from_folder",),
    "zoo": ("load_model",),
    "errors": ("InputError",),
}
_PUBLIC = {name: room for room, names in _ROOMS.items() for name in names}

__all__ = list(_PUBLIC)


def __getattr__(name):
    # Keras and TensorFlow take seconds to import: they are loaded with the first network asked for.
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PUBLIC[name]}"), name)


def __dir__():
    return sorted([*globals(), *_PUBLIC])
