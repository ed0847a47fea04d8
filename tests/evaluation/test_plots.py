import matplotlib.image
import numpy as np
import pytest

from keras_gw_resnet.evaluation.plots import plot_efficiency, plot_event
from keras_gw_resnet.search.search import Snapshot
from keras_gw_resnet.strain.stretches import WhitenedStretch


@pytest.mark.parametrize("detectors", [("H1",), ("H1", "L1"), ("H1", "L1", "V1")])
def test_event_picture(tmp_path, detectors):
    strain = np.random.default_rng(0).normal(size=(8192, len(detectors))).astype("float32")
    stretch = WhitenedStretch(1000.0, 2048, detectors, strain, ())
    plot_event(Snapshot(stretch, 1000 + np.arange(200) / 64, np.zeros(200)), 1002.0, tmp_path / "e.png", "title")
    picture = matplotlib.image.imread(tmp_path / "e.png")
    assert picture.shape[1] == 1080
    assert picture[..., :3].std() > 0.05


def test_efficiency_picture(tmp_path):
    curve = {"fraction": [0.1, None, 0.9], "error": [0.01, None, 0.01]}
    result = {"snr_edges": [8, 10, 12, 14], "efficiency": {"0.01": curve}}
    plot_efficiency(result, tmp_path / "e.png", "title")
    assert matplotlib.image.imread(tmp_path / "e.png")[..., :3].std() > 0.02
