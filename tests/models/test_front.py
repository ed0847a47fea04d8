import io
import zipfile

import h5py
import keras
import numpy as np
import pytest

from keras_gw_resnet import InputError, build_model
from keras_gw_resnet.models.front import front_layers, front_of
from keras_gw_resnet.models.graph import parts_of, receptive_field
from keras_gw_resnet.models.info import info_of
from keras_gw_resnet.models.matched_filter import SNR_LAYER, STRIDE, set_templates
from keras_gw_resnet.models.registry import model_options
from keras_gw_resnet.models.transfer import copy_trained
from keras_gw_resnet.portable import make_portable
from keras_gw_resnet.search.scan import Scanner
from keras_gw_resnet.training.config import TrainingConfig
from keras_gw_resnet.training.optimization import for_training
from tests.conftest import settle_batch_norm

SMALL = {"width": 4, "templates": 3, "template_samples": 256}
FAMILIES = ("resnet16", "resnet50", "highway20", "densenet121", "stacked-mixed")


@pytest.fixture(scope="module", params=[False, True], ids=["alone", "coincidence"])
def filled(request):
    """A network with templates of random shape, and these as arrays (3, 256)."""
    model = build_model("resnet16", pooling="logsumexp", head_kernel_size=2, coincidence=request.param, **SMALL)
    rng = np.random.default_rng(3)
    basis = np.linalg.qr(rng.normal(size=(256, 64)))[0].T.astype("float32")
    in_phase, in_quadrature = rng.normal(size=(2, 3, 64)).astype("float32") / 8
    set_templates(model, basis, in_phase, in_quadrature)
    settle_batch_norm(model)
    return model, in_phase @ basis, in_quadrature @ basis


def test_front_is_a_matched_filter(filled):
    model, in_phase, in_quadrature = filled
    strain = np.random.default_rng(4).normal(size=(2, 2048, 2)).astype("float32")
    seen = keras.Model(model.input, model.get_layer("snr").output)
    found = keras.ops.convert_to_numpy(seen(strain))
    assert found.shape[:2] == (2, 2048 // STRIDE)
    joined = found[:, :, 12:]
    assert joined.shape[-1] in (0, 3 + 1 + 2)
    # What is joined sees a value of the signal-to-noise ratio more at each side.
    left = receptive_field(model.input, seen.output).left - (STRIDE if joined.shape[-1] else 0)
    for index in (20, 100, 200):
        start = STRIDE * index - left
        for detector in range(2):
            part = strain[:, start : start + 256, detector]
            half = 0.5 * ((part @ in_phase.T) ** 2 + (part @ in_quadrature.T) ** 2)
            np.testing.assert_allclose(found[:, index, 6 * detector : 6 * detector + 3], half, rtol=1e-4, atol=1e-5)
            root = found[:, index, 6 * detector + 3 : 6 * detector + 6]
            np.testing.assert_allclose(root, np.sqrt(half + 1e-3), rtol=1e-4)
    if joined.shape[-1]:
        powers = found[:, :, :3], found[:, :, 6:9]
        near = [np.max([power[:, :-2], power[:, 1:-1], power[:, 2:]], axis=0) for power in powers]
        np.testing.assert_allclose(joined[:, 1:-1, :3], sum(near), rtol=1e-5)
        for channel, power in enumerate((joined[:, :, :3], *powers)):
            np.testing.assert_allclose(joined[:, :, 3 + channel], np.log(np.exp(power).sum(axis=-1)), rtol=1e-4)


@pytest.mark.parametrize("stride", [8, 4, 2, 1])
def test_the_largest_of_all_shifts_of_a_template_is_seen(stride):
    model = build_model("resnet16", coincidence=True, template_stride=stride, **SMALL)
    assert (front_of(model).templates, front_of(model).template_stride) == (3, stride)
    rng = np.random.default_rng(7)
    basis = np.linalg.qr(rng.normal(size=(256, 64)))[0].T.astype("float32")
    in_phase, in_quadrature = rng.normal(size=(2, 3 * 8 // stride, 64)).astype("float32") / 8
    set_templates(model, basis, in_phase, in_quadrature)
    strain = rng.normal(size=(1, 2048, 2)).astype("float32")
    found = np.asarray(keras.Model(model.input, model.get_layer("snr").output)(strain))[0, 20]
    start = STRIDE * 20 - 124
    for detector in range(2):
        part = strain[0, start : start + 256, detector]
        half = 0.5 * ((in_phase @ basis @ part) ** 2 + (in_quadrature @ basis @ part) ** 2)
        largest = half.reshape(8 // stride, 3).max(axis=0)
        np.testing.assert_allclose(found[6 * detector : 6 * detector + 3], largest, rtol=1e-4, atol=1e-5)


def in_training():
    network = build_model("resnet16", coincidence=True, template_stride=4, **SMALL)
    return for_training(network, TrainingConfig.of(model="resnet16", data="x", precision="bfloat16"), 1)


def under_the_policy():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        return build_model("resnet16", coincidence=True, template_stride=4, **SMALL)
    finally:
        keras.config.set_dtype_policy(before)


@pytest.mark.parametrize("made", [in_training, under_the_policy])
def test_matched_filter_keeps_its_digits_in_half_precision(made):
    model = made()
    own = front_layers(model)
    assert {layer.compute_dtype for layer in model.layers if layer.name in own and layer.weights} == {"float32"}
    assert model.get_layer(SNR_LAYER).output.dtype == "float32"
    assert model.get_layer("stem_conv").compute_dtype == "bfloat16"


def test_only_the_same_template_at_nearly_the_same_time_adds_up():
    model = build_model("resnet16", coincidence=True, **SMALL)
    basis = np.linalg.qr(np.random.default_rng(6).normal(size=(256, 64)))[0].T.astype("float32")
    set_templates(model, basis, 8 * np.eye(64)[:3], np.zeros((3, 64)))
    seen = keras.Model(model.input, model.get_layer("snr").output)

    def loudest(template, late):
        strain = np.zeros((1, 2048, 2), "float32")
        strain[0, 1004:1260, 0] = basis[0]
        strain[0, 1004 + late : 1260 + late, 1] = basis[template]
        return float(keras.ops.max(seen(strain)[:, :, 12:15]))

    together = loudest(0, 0)
    assert together == pytest.approx(2 * loudest(0, 500), rel=0.05) and together == pytest.approx(64, rel=1e-3)
    assert loudest(0, 16) == pytest.approx(together)
    assert loudest(1, 0) < 0.7 * together and loudest(0, 32) < 0.7 * together


def test_matched_filter_is_not_trained(filled):
    model, _, _ = filled
    assert not any("template" in weight.path for weight in model.trainable_weights)
    assert sum("template" in weight.path for weight in model.weights) == 3


def test_a_scan_equals_the_windows(filled):
    model, _, _ = filled
    strain = np.random.default_rng(5).normal(size=(4096, 2)).astype("float32")
    scanner = Scanner(model)
    scores = scanner.scan(strain).scores
    assert scanner.exact and scanner.slides and np.std(scores) > 1e-2
    assert scanner.difference(strain, scores) < 1e-3


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_with_the_usual_stem_has_templates(name):
    plain = build_model(name, width=4, input_shape=(4096, 2))
    model = build_model(name, input_shape=(4096, 2), coincidence=True, **SMALL)
    assert parts_of(model).field.stride == parts_of(plain).field.stride
    # Highway blocks give what they take: one layer more brings the templates to their width.
    assert info_of(model).depth - info_of(plain).depth == (3 if name == "highway20" else 2)
    restored = keras.models.clone_model(model)
    assert restored.count_params() == model.count_params()


def test_a_coalescence_is_where_the_templates_have_it(filled):
    model, _, _ = filled
    assert parts_of(model).coalescence_offset == 256 * 7 / 16
    assert parts_of(build_model("resnet16", width=4)).coalescence_offset is None


def test_numbers_of_templates_out_of_range_are_refused():
    wrong = {"templates": -1}, {"templates": 2.5}, {"templates": 4, "template_samples": 0}, {"coincidence": True}
    strides = (
        {"template_stride": 4},
        *({"templates": 4, "template_stride": value} for value in (3, 16, True, "4", 4.0, None)),
    )
    for options in (*wrong, *strides):
        with pytest.raises(InputError, match="template"):
            build_model("resnet16", width=4, **options)


def test_an_option_of_families_with_a_stem_of_their_own_it_is_not():
    assert "templates" not in model_options("residual-cnn")
    with pytest.raises(InputError, match="no option templates"):
        build_model("residual-cnn", templates=4)


def consistent(reduced, free, slope):
    return max(1 + slope * (reduced / (1 + 0.5 * np.sqrt(2 / free)) - 1), 1)


@pytest.mark.parametrize("slope", [1.0, 2.5])
def test_consistency_divides_what_does_not_look_like_the_template(filled, slope):
    model, in_phase, _ = filled
    front = front_of(model)
    tested = {"coincidence": front.coincidence, "consistency": True, "consistency_tolerance": 0.5}
    tested["consistency_slope"] = slope
    checked = build_model("resnet16", pooling="logsumexp", head_kernel_size=2, **tested, **SMALL)
    assert front_of(checked).consistency and not front.consistency
    assert (front_of(checked).consistency_tolerance, front_of(checked).consistency_slope) == (0.5, slope)
    copy_trained(checked, model)
    basis = np.asarray(model.get_layer("template_basis").get_weights()[0])[:, 0]
    strain = np.random.default_rng(4).normal(size=(1, 2048, 2)).astype("float32")
    # What a template resembles, what the kernels span without any template, and what they do not span.
    strain[0, 400:656, 0] += 3 * in_phase[0]
    strain[0, 1000:1256, 0] += 12 * basis[:, 7]
    strain[0, 1000:1256, 1] += 9 * np.sin(np.arange(256))
    seen, plain = (
        keras.ops.convert_to_numpy(keras.Model(net.input, net.get_layer("snr").output)(strain))
        for net in (checked, model)
    )
    left = receptive_field(model.input, model.get_layer("snr").output).left - (STRIDE if front.coincidence else 0)
    for index in range(20, 240, 3):
        start = STRIDE * index - left
        for detector in range(2):
            part = strain[0, start : start + 256, detector]
            span, energy = np.sum((part @ basis) ** 2), np.sum(part**2)
            for template in range(3):
                half = plain[0, index, 6 * detector + template]
                by = consistent((span - 2 * half) / 62, 62, slope) * consistent((energy - span) / 192, 192, slope)
                np.testing.assert_allclose(seen[0, index, 6 * detector + template], half / by, rtol=2e-4, atol=1e-5)


def test_consistency_is_of_templates_and_takes_weights_made_without_it(tmp_path):
    with pytest.raises(InputError, match="consistency=True: is of templates"):
        build_model("resnet16", width=4, consistency=True)
    options = {**SMALL, "coincidence": True, "pooling": "logsumexp", "head_kernel_size": 2, "statistic_shortcut": 0.5}
    plain = build_model("resnet16", **options)
    plain.save(tmp_path / "plain.keras")
    checked = build_model("resnet16", weights=tmp_path / "plain.keras", consistency=True, **options)
    for own, known in zip(checked.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_array_equal(own, known)
    checked.save(tmp_path / "checked.keras")
    make_portable(tmp_path / "checked.keras")
    loaded = keras.saving.load_model(tmp_path / "checked.keras", safe_mode=True)
    assert front_of(loaded) == front_of(checked)
    for own, known in zip(loaded.get_weights(), checked.get_weights(), strict=True):
        np.testing.assert_array_equal(own, known)
    with zipfile.ZipFile(tmp_path / "checked.keras") as archive:
        weights = h5py.File(io.BytesIO(archive.read("model.weights.h5")))
        shuffled = []
        weights.visititems(lambda _, own: shuffled.append(getattr(own, "shuffle", False)))
        assert any(shuffled)
    scanner = Scanner(checked)
    strain = np.random.default_rng(5).normal(size=(3 * 2048, 2)).astype("float32")
    assert scanner.exact and scanner.difference(strain, scanner.scan(strain).scores) < 1e-3
