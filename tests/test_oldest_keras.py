"""Older versions of Keras load what ships and what is saved, and score alike: 'make test-keras' installs the oldest."""

import os

import numpy as np
import pytest

from keras_gw_resnet import build_model, list_models
from keras_gw_resnet.models.weights import saved_models_folder
from keras_gw_resnet.portable import KERAS_RANGE
from keras_gw_resnet.zoo import save_model
from tests.conftest import run_command, scores_of, settle_batch_norm
from tests.test_zoo import CARD

OLDEST = os.environ.get("KERAS_GW_RESNET_OLDEST_KERAS")
pytestmark = pytest.mark.skipif(not OLDEST, reason="OLDEST KERAS ABSENT: make test-keras; this check did not run")

SCORE = """
import sys, keras, numpy
sys.modules["keras_gw_resnet"] = None
print("VERSION", keras.__version__)
for number, path in enumerate(sys.argv[1:]):
    model = keras.saving.load_model(path, safe_mode=True)
    strain = numpy.random.default_rng(0).normal(size=(4, *model.input_shape[1:])).astype("float32")
    numpy.save(f"{number}.npy", model(strain, training=False))
"""


def check(paths, tmp_path):
    import keras

    result = run_command("-c", SCORE, *paths, cwd=tmp_path, env={"PYTHONPATH": OLDEST}, timeout=900)
    assert result.returncode == 0, result.stderr[-2000:]
    (version,) = (line.split()[1] for line in result.stdout.splitlines() if line.startswith("VERSION"))
    assert version.startswith(KERAS_RANGE.split(",")[0].removeprefix(">="))
    for number, path in enumerate(paths):
        model = keras.saving.load_model(path)
        strain = np.random.default_rng(0).normal(size=(4, *model.input_shape[1:])).astype("float32")
        scores = scores_of(model, strain)
        np.testing.assert_allclose(np.load(tmp_path / f"{number}.npy"), scores, rtol=1e-5, atol=1e-5)


def test_shipped_networks(tmp_path):
    check(sorted(saved_models_folder().glob("*/model.keras")), tmp_path)


VARIANTS = {
    "group": ("resnet18", {"normalization": "group"}),
    "stochastic": ("resnet18", {"stochastic_depth": 0.2, "dropout": 0.1}),
    "normalised": ("residual-cnn", {"mean": [1.0, 2.0], "variance": [3.0, 4.0]}),
    "consistent": ("resnet16", {"templates": 8, "template_samples": 512, "consistency": True}),
    "coherent": (
        "resnet18",
        {
            "templates": 8,
            "template_samples": 512,
            "coincidence": True,
            "pooling": "logsumexp",
            "statistic_shortcut": 1,
            "statistic_templates": 4,
            "statistic_coherent": True,
        },
    ),
    "three detectors": (
        "resnet18",
        {
            "input_shape": (2048, 3),
            "templates": 8,
            "template_samples": 512,
            "coincidence": True,
            "stack_detectors": 2,
            "pooling": "logsumexp",
            "head_kernel_size": 2,
            "statistic_shortcut": 1,
            "statistic_templates": 4,
            "statistic_light": 4,
            "statistic_coherent": True,
            "consistency": True,
        },
    ),
}


def test_every_network_as_it_is_saved(tmp_path):
    paths = []
    for name, (family, options) in {**{name: (name, {}) for name in list_models()}, **VARIANTS}.items():
        model = build_model(family, width=4, **options)
        settle_batch_norm(model)
        save_model(model, CARD, tmp_path / name)
        paths.append(tmp_path / name / "model.keras")
    check(paths, tmp_path)
