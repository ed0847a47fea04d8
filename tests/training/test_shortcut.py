import numpy as np
import pytest

from keras_gw_resnet.training.config import TrainingConfig
from keras_gw_resnet.training.data import load_batches
from keras_gw_resnet.training.fit import _with_shortcut
from keras_gw_resnet.training.optimization import new_network
from keras_gw_resnet.training.templates import fill_templates
from keras_gw_resnet.training.validation import Validation, scorer


def test_the_median_of_the_negatives_stays(small_data):
    few = {"validation_noise": 200, "validation_signals": 50, "false_alarm_probability": 0.05, "validation_batches": 4}
    options = {"width": 4, "templates": 4, "template_samples": 256, "coincidence": True, "pooling": "logsumexp"}
    found = {"data": str(small_data), "detectors": ("H1", "L1"), "window_samples": 2048, "batch_size": 16}
    config = TrainingConfig(model="resnet16", options=options, statistic_shortcut=0.5, **found, **few)
    batches = load_batches(config)
    model = new_network(config)
    fill_templates(model, batches, config)
    more, measured = _with_shortcut(model, batches, config)
    validation = Validation(batches, config, [])
    negatives = validation.strain[validation.label == 0]
    before, after = (network.predict(negatives, verbose=0)[:, 0] for network in (model, more))
    assert np.median(after) == pytest.approx(np.median(before), abs=1e-4) and np.std(after - before) > 0.1
    assert measured == pytest.approx(validation.measure(scorer(more)))
