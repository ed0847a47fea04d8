import pytest

from keras_gw_resnet import build_model
from keras_gw_resnet.models.ensemble import Ensemble
from keras_gw_resnet.models.info import info_of
from keras_gw_resnet.models.registry import model_info


def test_multiply_adds_counted_by_hand():
    info = model_info("george-huerta2018", width=2)
    # Three valid convolutions of 2048 samples with pools of 4, and two dense layers.
    first, second, third = 2048 - 15, (2033 // 4) - 28, (480 // 4) - 28
    by_hand = first * 16 * 2 * 2 + second * 8 * 2 * 4 + third * 8 * 4 * 8 + (92 // 4) * 8 * 8 + 8
    assert info.multiply_adds == by_hand
    assert model_info("resnet18", input_shape=(4096, 2), width=4).multiply_adds == pytest.approx(
        model_info("resnet18", width=4).multiply_adds, rel=1e-3
    )


def test_reach_of_a_resnet():
    info = model_info("resnet18", width=4)
    assert (info.stride, info.receptive_samples) == (32, 443)
    assert info.receptive_milliseconds == pytest.approx(443 / 2.048)
    assert model_info("gabbard2018").receptive_samples is None


def test_an_ensemble_costs_the_sum():
    members = [build_model("resnet16", width=4), build_model("highway20", width=4)]
    whole, parts = info_of(Ensemble(members)), [info_of(m) for m in members]
    assert whole.multiply_adds == sum(p.multiply_adds for p in parts)
    assert whole.parameters == sum(p.parameters for p in parts)
    assert whole.depth == max(p.depth for p in parts)
