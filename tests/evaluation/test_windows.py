import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from keras_gw_resnet.evaluation.windows import auc, efficiency, evaluate_scores, threshold_at

SCORES = st.lists(st.integers(-5, 5), min_size=1, max_size=30)


@given(SCORES, SCORES)
def test_auc_is_the_chance_that_a_signal_scores_above_noise(noise, signal):
    pairs = [(s > n) + 0.5 * (s == n) for s in signal for n in noise]
    assert auc(np.array(noise), np.array(signal)) == pytest.approx(np.mean(pairs))


def test_threshold_leaves_the_asked_share_above():
    noise = np.random.default_rng(0).normal(size=100_000)
    threshold = threshold_at(noise, 1e-3)
    assert np.count_nonzero(noise >= threshold) == 100
    assert threshold == pytest.approx(scipy.stats.norm.isf(1e-3), abs=0.1)
    with pytest.raises(ValueError, match="9000 noise windows cannot show"):
        threshold_at(noise[:9000], 1e-3)


def test_efficiency_by_bin():
    noise = np.linspace(-1, 0, 10_000)
    snr = np.array([8.5, 8.6, 9.5, 9.6, 9.7])
    signal = np.array([1.0, -1.0, 1.0, 1.0, -1.0])
    fraction, error = efficiency(noise, signal, snr, 1e-2, [8, 9, 10, 11])
    np.testing.assert_allclose(fraction, [1 / 2, 2 / 3, np.nan])
    np.testing.assert_allclose(error[:2], [np.sqrt(0.25 / 2), np.sqrt(2 / 9 / 3)])


def test_evaluation_of_separated_scores():
    rng = np.random.default_rng(0)
    label = np.tile([1, 0], 20_000)
    snr = np.where(label, rng.uniform(8, 20, 40_000), 0)
    result = evaluate_scores(rng.normal(size=40_000) + snr, label, snr, np.linspace(8, 20, 7))
    assert result["auc"] > 0.999
    assert set(result["efficiency"]) == {"0.01", "0.001"}
    curve = result["efficiency"]["0.001"]
    assert curve["threshold"] == pytest.approx(3.09, abs=0.2)
    assert min(curve["fraction"]) > 0.99
    assert result["noise_windows"] == result["signal_windows"] == 20_000
