"""Small networks with a ranking statistic, for the tests."""

import keras
import numpy as np

from keras_gw_resnet import build_model
from keras_gw_resnet.models.graph import positions_of
from keras_gw_resnet.models.matched_filter import set_templates
from keras_gw_resnet.models.transfer import copy_trained
from tests.conftest import settle_batch_norm

SMALL = {"width": 4, "templates": 3, "template_samples": 256, "coincidence": True}
POSITIONS = {"pooling": "logsumexp", "head_kernel_size": 4}
WEIGHT = 0.5


def with_statistic(model, **options):
    """The network with what is ranked, and the weights of one without."""
    more = build_model("resnet16", **SMALL, **POSITIONS, statistic_shortcut=WEIGHT, **options)
    copy_trained(more, model)
    return more


def network_and_ranked():
    """Return a network without the ranking statistic, and the same with it."""
    model = build_model("resnet16", **SMALL, **POSITIONS)
    rng = np.random.default_rng(3)
    basis = np.linalg.qr(rng.normal(size=(256, 64)))[0].T.astype("float32")
    set_templates(model, basis, *rng.normal(size=(2, 3, 64)).astype("float32") / 8)
    settle_batch_norm(model)
    return model, with_statistic(model)


def noise(samples, examples=2):
    return np.random.default_rng(4).normal(size=(examples, samples, 2)).astype("float32")


def with_statistic_alone(model):
    """The network with all weights of its last convolution zero but those of the statistic."""
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    kernel, bias = positions_of(copy).get_weights()
    kernel[:, :-1] = 0
    positions_of(copy).set_weights([kernel, bias])
    return copy
