import keras
import numpy as np
import pytest
from keras import layers

from keras_gw_resnet.search.calibration import calibrate_timing
from keras_gw_resnet.search.scan import Scanner
from keras_gw_resnet.simulation.psds import load_psd
from keras_gw_resnet.strain.conditioning import Whitening, whitening_filter


def power_network(lag_samples):
    """A network whose evidence is the power of the strain some samples later: its lag is known."""
    inputs = keras.Input((2048, 2))
    x = layers.Conv1D(2, 2 * lag_samples + 1, padding="same", use_bias=False)(inputs)
    x = layers.Multiply()([x, x])
    x = layers.AveragePooling1D(16, padding="same")(x)
    x = layers.GlobalAveragePooling1D()(x)
    model = keras.Model(inputs, layers.Dense(1)(x))
    kernel = np.zeros((2 * lag_samples + 1, 2, 2))
    kernel[-1] = np.eye(2)
    model.layers[1].set_weights([kernel])
    model.layers[-1].set_weights([np.full((2, 1), 100.0), np.full(1, -200.0)])
    return model


def test_a_known_lag_is_measured(small_bank):
    whitening = Whitening()
    taps = [[whitening_filter(load_psd("aLIGOZeroDetHighPower", 0.25, 1024), whitening)]] * 2
    measured = {}
    for lag in (0, 200):
        measured[lag] = calibrate_timing(
            Scanner(power_network(lag)), small_bank, taps, ("H1", "L1"), whitening, signals=64, snr_range=(20.0, 30.0)
        )
    # A network that looks ahead sees the coalescence early: the time to add grows by just that.
    assert measured[200]["merger_seconds"] - measured[0]["merger_seconds"] == pytest.approx(200 / 2048, abs=0.004)
    assert abs(measured[0]["merger_seconds"]) < 0.03
    assert measured[0]["spread_seconds"] < 0.03
    assert 0 < measured[0]["tolerance_seconds"] <= 0.3
