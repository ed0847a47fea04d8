import matplotlib.image
import numpy as np
import pytest

from keras_gw_resnet.evaluation.candidate_plots import draw_event
from keras_gw_resnet.evaluation.plots import save
from keras_gw_resnet.evaluation.qtransform import constant_q
from keras_gw_resnet.evaluation.set_plots import draw_found_fraction, draw_injections, draw_sensitivity
from keras_gw_resnet.evaluation.window_plots import draw_efficiency
from keras_gw_resnet.search.results import Snapshot
from tests.evaluation.test_sensitivity import matched_case


def drawn(figure, folder):
    save(figure, folder / "picture.png")
    return matplotlib.image.imread(folder / "picture.png")[..., :3]


@pytest.mark.parametrize("detectors", [("H1",), ("H1", "L1"), ("H1", "L1", "V1")])
def test_event_picture(tmp_path, detectors):
    strain = np.random.default_rng(0).normal(size=(8192, len(detectors))).astype("float32")
    snapshot = Snapshot(1002.0, 3.0, 1000.0, 2048, strain, 1000 + np.arange(200) / 64, np.zeros(200))
    picture = drawn(draw_event(snapshot, detectors, "title"), tmp_path)
    assert picture.shape[1] == 1080
    assert picture.std() > 0.05
    marks = [(detectors[0], 1002.1, 1002.4, "gated"), (None, 1001.8, 1001.9, "H1 alone: glitch-like")]
    marked = drawn(draw_event(snapshot, detectors, "title", marks), tmp_path)
    assert np.any(marked != picture)


def test_efficiency_picture(tmp_path):
    curve = {"fraction": [0.1, None, 0.9], "error": [0.01, None, 0.01]}
    result = {"snr_edges": [8, 10, 12, 14], "efficiency": {"0.01": curve}}
    assert drawn(draw_efficiency(result, "title"), tmp_path).std() > 0.02


def test_set_pictures(tmp_path):
    found, rows, by = matched_case()
    published = drawn(draw_sensitivity({"net": rows}, "title", "set3"), tmp_path)
    own = drawn(draw_sensitivity({"net": rows}, "title"), tmp_path)
    assert published.shape == own.shape
    assert not np.array_equal(published, own)
    assert drawn(draw_found_fraction({"net": by}, "title"), tmp_path).std() > 0.02
    assert drawn(draw_injections(found, 0.0, "title"), tmp_path).std() > 0.02


def test_constant_q_shows_a_tone_where_it_is():
    rng, time = np.random.default_rng(0), np.arange(4 * 2048) / 2048
    noise = rng.normal(size=len(time))
    frequency, energy = constant_q(noise, 2048)
    assert np.mean(energy) == pytest.approx(1, abs=0.15)
    burst = 3 * np.exp(-(((time - 2.5) / 0.03) ** 2)) * np.sin(2 * np.pi * 150 * time)
    _, loud = constant_q(noise + burst, 2048)
    at_frequency, at_time = np.unravel_index(np.argmax(loud), loud.shape)
    assert frequency[at_frequency] == pytest.approx(150, rel=0.1)
    assert time[at_time] == pytest.approx(2.5, abs=0.03)
    assert loud.max() > 20
