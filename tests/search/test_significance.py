import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_gw_resnet.search.background import Background
from keras_gw_resnet.search.candidates import Candidates
from keras_gw_resnet.search.significance import (
    YEAR_SECONDS,
    Density,
    astrophysical_probability,
    false_alarm_rate,
    significance,
)


def background_of(stat, seconds=YEAR_SECONDS):
    return Background(np.asarray(stat, float), np.zeros((len(stat), 2)), seconds)


@given(st.lists(st.integers(-9, 9), max_size=40), st.lists(st.integers(-10, 10), min_size=1, max_size=9))
def test_rate_counts_what_is_as_loud(background, events):
    rate, error = false_alarm_rate(np.array(events, float), background_of(background))
    for stat, found, sigma in zip(events, rate, error, strict=True):
        louder = 1 + sum(b >= stat for b in background)
        assert found == pytest.approx(louder)
        assert sigma == pytest.approx(np.sqrt(louder))


def test_density_is_that_of_the_sample():
    rng = np.random.default_rng(0)
    density = Density(rng.exponential(2.0, 20_000) - 4, -4.0)
    stat = np.array([-3.0, -1.0, 2.0, 12.0])
    expected = -np.log(2) - (stat + 4) / 2
    np.testing.assert_allclose(density.log(stat)[:3], expected[:3], atol=0.15)
    assert density.log(stat)[3] == pytest.approx(expected[3], abs=1)
    grid = np.linspace(-4, 60, 20_000)
    assert np.trapezoid(np.exp(density.log(grid)), grid) == pytest.approx(1, abs=0.03)


def test_probability_of_a_mixture_is_calibrated():
    """Of events drawn from known rates, as many are signals as the probabilities add up to."""
    rng = np.random.default_rng(1)
    noise = rng.exponential(1.0, 50_000)
    signals = 6 * rng.pareto(3.0, 2000) + 2
    stat = np.concatenate([rng.exponential(1.0, 1000), 6 * rng.pareto(3.0, 100) + 2])
    truth = np.arange(1100) >= 1000
    found = astrophysical_probability(stat, background_of(noise, 50_000.0), signals, 1000.0, 0.0)
    assert found.sum() == pytest.approx(100, abs=40)
    sure = found > 0.9
    assert np.mean(truth[sure]) > 0.85
    assert np.all(np.diff(found[np.argsort(stat)][-20:]) > -1e-9)
    assert 0 <= found.min() <= found.max() <= 1


def test_without_enough_to_go_by_there_is_no_probability():
    events = Candidates(np.array([1.0]), np.array([5.0]), np.array([0.1]))
    few = significance(events, background_of(np.arange(20.0)), {"signals": {"stat": [1.0] * 500}}, 100.0, 0.0)
    assert set(few) == {"far", "far_error", "ifar"}
    rng = np.random.default_rng(0)
    card = {"signals": {"stat": (2 + rng.pareto(3.0, 500)).tolist()}}
    many = significance(events, background_of(rng.exponential(1.0, 5000)), card, 100.0, 0.0)
    assert set(many) == {"far", "far_error", "ifar", "p_astro"}
    assert significance(events, background_of(rng.exponential(1.0, 5000)), {}, 100.0, 0.0).keys() == few.keys()
