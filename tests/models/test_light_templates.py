import keras
import numpy as np
import pytest

from keras_gw_resnet import InputError, build_model
from keras_gw_resnet.models.front import front_of
from keras_gw_resnet.models.heads import STACK_SHARE, shift_logits
from keras_gw_resnet.models.matched_filter import STRIDE
from keras_gw_resnet.models.ranking import (
    EARLY_BASIS_LAYER,
    EARLY_SAMPLES,
    LIGHT,
    LIGHT_POOL,
    LIGHT_SCORE,
    LOW_PASS_LAYER,
    LOW_PASS_TAPS,
    STATISTIC,
    STATISTIC_POOL,
)
from keras_gw_resnet.search.scan import Scanner
from tests.models.ranked import (
    POSITIONS,
    SMALL,
    WEIGHT,
)

pytestmark = pytest.mark.usefixtures("seeded")


@pytest.fixture(scope="module")
def light():
    """A network whose statistic has templates of light binaries, all weights random."""
    options = {"statistic_shortcut": WEIGHT, "statistic_templates": 2, "statistic_coherent": True, "statistic_light": 3}
    return build_model("resnet16", **SMALL, **POSITIONS, **options, input_shape=(4096, 2))


def test_early_kernels_end_where_the_others_begin(light):
    strain = np.random.default_rng(4).normal(size=(1, 4096, 2)).astype("float32")
    given = keras.Model(light.input, light.get_layer(f"{LIGHT}early_1").output)(strain)
    taps = np.asarray(light.get_layer(LOW_PASS_LAYER).kernel)[:, 0, 0]
    kernels = np.asarray(light.get_layer(EARLY_BASIS_LAYER).kernel)[:, 0]
    for step in (250, 400):
        begins = step * STRIDE - (256 - STRIDE) // 2
        # The low pass takes as many samples on both sides of the middle between two.
        middles = begins - EARLY_SAMPLES + STRIDE * np.arange(EARLY_SAMPLES // STRIDE)
        passed = [strain[0, m - LOW_PASS_TAPS // 2 : m + LOW_PASS_TAPS // 2 + 1, 1] @ taps for m in middles]
        np.testing.assert_allclose(given[0, step], passed @ kernels, rtol=1e-3, atol=1e-4)


def test_light_binaries_are_a_quarter_as_likely_as_the_others(light):
    strain = np.random.default_rng(4).normal(size=(1, 4096, 2)).astype("float32")
    names = [f"{STATISTIC}joined", f"{LIGHT}joined", STATISTIC_POOL, LIGHT_POOL]
    heavy, own, *pools = (
        np.asarray(t)[0] for t in keras.Model(light.input, [light.get_layer(n).output for n in names])(strain)
    )
    assert (heavy.shape[-1], own.shape[-1]) == (2, 3)
    for pooled, templates in zip(pools, (heavy, own - np.log(1.5 * 4)), strict=True):
        ranked = np.logaddexp.reduce(templates, axis=-1)
        np.testing.assert_allclose(pooled[:, 0], ranked.reshape(len(pooled), -1).max(axis=1), rtol=1e-5, atol=1e-5)


def test_a_part_of_what_the_stack_says_counts_for_light_binaries(light):
    strain = np.random.default_rng(4).normal(size=(3, 4096, 2)).astype("float32")
    score, weights = light.get_layer("score"), light.get_layer("score").get_weights()
    last, constant = light.get_layer(LIGHT_SCORE), light.get_layer(LIGHT_SCORE).get_weights()
    try:
        last.set_weights([constant[0], np.array([0.7])])
        given = keras.Model(light.input, last.input)
        logits, heavy, lighter = np.moveaxis(np.asarray(given(strain)), -1, 0)
        stack = logits - WEIGHT * heavy
        expected = np.logaddexp(logits, STACK_SHARE * stack + WEIGHT * lighter + 0.7)
        np.testing.assert_allclose(light(strain)[:, 0], np.logaddexp.reduce(expected, axis=1), rtol=1e-4, atol=1e-4)
        before = np.asarray(light(strain))
        shift_logits(light, 2.5)
        np.testing.assert_allclose(light(strain), before + 2.5, rtol=1e-4, atol=1e-4)
        # Without the stack the logit is what is ranked at the same position.
        kernel = np.zeros_like(weights[0])
        kernel[:, -1] = weights[0][:, -1]
        score.set_weights([kernel, weights[1]])
        logits, heavy, _ = np.moveaxis(np.asarray(given(strain)), -1, 0)
        np.testing.assert_allclose(logits, WEIGHT * heavy + weights[1], rtol=1e-4, atol=1e-4)
    finally:
        score.set_weights(weights)
        last.set_weights(constant)


def test_a_network_that_ranks_light_binaries_is_like_any_other(light, tmp_path):
    light.save(tmp_path / "light.keras")
    front = front_of(keras.saving.load_model(tmp_path / "light.keras", safe_mode=True))
    assert front == light.parts.front and front.statistic_light == 3
    options = {"statistic_shortcut": WEIGHT, "statistic_templates": 2, "statistic_coherent": True, "statistic_light": 3}
    again = build_model(
        "resnet16", **SMALL, **POSITIONS, **options, input_shape=(4096, 2), weights=str(tmp_path / "light.keras")
    )
    strain = np.random.default_rng(4).normal(size=(2, 4096, 2)).astype("float32")
    np.testing.assert_allclose(again(strain), light(strain), rtol=1e-4)
    scanner = Scanner(light)
    longer = np.random.default_rng(6).normal(size=(8192, 2)).astype("float32")
    assert scanner.exact and scanner.difference(longer, scanner.scan(longer).scores) < 1e-3
    with pytest.raises(InputError, match=r"light.keras: .*statistic_light=3"):
        build_model(
            "resnet16", **SMALL, **POSITIONS, **{**options, "statistic_light": 0}, weights=str(tmp_path / "light.keras")
        )
    with pytest.raises(InputError, match="statistic_light=3: is of templates of its own"):
        build_model("resnet16", **SMALL, **POSITIONS, statistic_shortcut=WEIGHT, statistic_light=3)
