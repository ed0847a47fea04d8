import numpy as np
import pytest

from keras_gw_resnet.simulation.glitches import FAMILIES, draw_glitches


def test_every_family_is_drawn_and_is_short_and_in_its_band():
    glitches, family = draw_glitches(np.random.default_rng(0), 600, 2048, 2048)
    assert glitches.shape == (600, 2048)
    assert np.all(np.isfinite(glitches))
    assert np.all(np.abs(glitches).max(axis=1) > 0.3)
    frequency = np.fft.rfftfreq(2048, 1 / 2048)
    power = np.abs(np.fft.rfft(glitches, axis=1)) ** 2
    centre = power @ frequency / power.sum(axis=1)
    for index, (name, (low, high)) in enumerate(
        {"sine-Gaussian": (15, 520), "blip": (15, 400), "scattering arch": (5, 95)}.items()
    ):
        assert list(FAMILIES)[index] == name
        assert (family == index).sum() > 150
        assert np.all((centre[family == index] > low) & (centre[family == index] < high)), name


@pytest.mark.parametrize("name", list(FAMILIES))
def test_same_generator_same_glitches(name):
    time = np.linspace(-0.5, 0.5, 100)[None]
    one, other = (FAMILIES[name](np.random.default_rng(3), time, 1.0) for _ in range(2))
    np.testing.assert_array_equal(one, other)
