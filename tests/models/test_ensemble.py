import json

import keras
import numpy as np
import pytest
import scipy.special

from keras_gw_resnet import InputError, build_model
from keras_gw_resnet.models.ensemble import Ensemble
from keras_gw_resnet.models.graph import positions_of
from tests.conftest import scores_of, settle_batch_norm


@pytest.fixture(scope="module")
def members():
    built = [build_model("resnet16", width=4), build_model("highway20", width=4), build_model("resnet16", width=4)]
    for seed, model in enumerate(built):
        settle_batch_norm(model, seed)
    return built


STRAIN = np.random.default_rng(0).normal(size=(16, 2048, 2)).astype("float32")


@pytest.mark.parametrize("combine", ["mean", "head"])
def test_begins_as_the_mean_of_its_members(members, combine, tmp_path):
    ensemble = Ensemble(members, combine)
    mean = np.mean([scores_of(m, STRAIN) for m in members], axis=0)
    np.testing.assert_allclose(scores_of(ensemble, STRAIN), mean, atol=1e-5)
    ensemble.save(tmp_path / "e.keras")
    loaded = keras.saving.load_model(tmp_path / "e.keras", safe_mode=True)
    np.testing.assert_array_equal(scores_of(loaded, STRAIN), scores_of(ensemble, STRAIN))


def test_training_moves_the_head_alone(members):
    ensemble = Ensemble(members, "head")
    assert [w.path for w in ensemble.trainable_weights] == ["score/kernel", "score/bias"]
    before = [w.copy() for w in ensemble.get_weights()]
    ensemble.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False)
    ensemble.fit(STRAIN, np.ones((16, 1)), epochs=2, verbose=0)
    after = ensemble.get_weights()
    moved = [not np.array_equal(a, b) for a, b in zip(after, before, strict=True)]
    assert sum(moved) == 2
    assert all(m.trainable for m in members)


def test_what_does_not_fit(members):
    with pytest.raises(InputError, match="at least two"):
        Ensemble(members[:1])
    with pytest.raises(InputError, match="combine='median'"):
        Ensemble(members, "median")
    with pytest.raises(InputError, match="expected \\(2048, 2\\)"):
        Ensemble([members[0], build_model("resnet16", width=4, input_shape=(4096, 2))])


def test_members_keep_their_dropout_off_while_the_head_trains():
    members = [build_model("residual-cnn", width=4, dropout=0.5, block_dropout=0.3), build_model("resnet16", width=4)]
    ensemble = Ensemble(members, "head")
    strain = np.random.default_rng(0).normal(size=(4, 2048, 2)).astype("float32")
    one, other = (keras.ops.convert_to_numpy(ensemble(strain, training=t)) for t in (True, False))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("members", [None, "resnet18-w16", 5])
def test_what_is_no_network_is_refused(members):
    with pytest.raises(InputError, match=r"is no keras\.Model"):
        Ensemble([build_model("resnet16", width=4), members])
    with pytest.raises(InputError):
        Ensemble(members)


def test_saved_networks_are_joined_by_name(members, tmp_path, monkeypatch):
    for name, member in zip(("first", "second"), members, strict=False):
        (tmp_path / name).mkdir()
        member.save(tmp_path / name / "model.keras")
    monkeypatch.setenv("KERAS_GW_RESNET_SAVED_MODELS", str(tmp_path))
    ensemble = build_model("ensemble", members=["first", str(tmp_path / "second")], input_shape=(2048, 2))
    mean = np.mean([scores_of(m, STRAIN) for m in members[:2]], axis=0)
    np.testing.assert_allclose(scores_of(ensemble, STRAIN), mean, atol=1e-5)
    assert [w.path for w in ensemble.trainable_weights] == ["score/kernel", "score/bias"]
    for wrong in ("first", ["first"], ["first", "first"], []):
        with pytest.raises(InputError, match="at least two saved networks"):
            build_model("ensemble", members=wrong)
    with pytest.raises(InputError, match="third: no saved network"):
        build_model("ensemble", members=["first", "third"])
    with pytest.raises(InputError, match=r"expected \(4096, 2\)"):
        build_model("ensemble", members=["first", "second"], input_shape=(4096, 2))
    with pytest.raises(InputError, match="its options are members, combine, input_shape, name"):
        build_model("ensemble", members=["first", "second"], width=4)


@pytest.fixture(scope="module")
def with_places():
    options = {"width": 4, "pooling": "logsumexp", "kernel_size": [7, 3, 3, 3]}
    built = [
        build_model("resnet16", head_kernel_size=12, **options),
        build_model("highway20", head_kernel_size=8, **options),
    ]
    for seed, model in enumerate(built):
        settle_batch_norm(model, seed)
    return built


def logits_at_places(member):
    return keras.Model(member.input, positions_of(member).output).predict(STRAIN, verbose=0)[..., 0]


@pytest.mark.parametrize("earlier", [0, 4])
def test_places_of_one_coalescence_are_joined(with_places, earlier):
    # A position of the first tells the coalescence so many strides earlier in its strain than one of the second.
    ensemble = Ensemble(with_places, mergers=[500.0, 500.0 + 32 * earlier + 10])
    one, other = map(logits_at_places, with_places)
    count = min(one.shape[1] - earlier, other.shape[1])
    mean = (one[:, earlier : earlier + count] + other[:, :count]) / 2
    np.testing.assert_allclose(scores_of(ensemble, STRAIN)[:, 0], scipy.special.logsumexp(mean, axis=1), atol=1e-4)


def test_places_that_no_coalescence_has_in_common(with_places):
    with pytest.raises(InputError, match="expected some in common"):
        Ensemble(with_places, mergers=[0.0, 2048.0])


def test_an_ensemble_of_places_is_no_member(with_places):
    with pytest.raises(InputError, match="is an ensemble; give its own members"):
        Ensemble([Ensemble(with_places, "head"), with_places[0]])


def test_cards_say_where_in_a_place_the_coalescence_is(with_places, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_GW_RESNET_SAVED_MODELS", str(tmp_path))
    for name, member, seconds in zip(("first", "second"), with_places, (0.25, 0.25 + 9 * 32 / 2048), strict=True):
        (tmp_path / name).mkdir()
        member.save(tmp_path / name / "model.keras")
        card = {"sample_rate": 2048, "timing": {"merger_seconds": seconds, "signals": 256}}
        (tmp_path / name / "card.json").write_text(json.dumps(card))
    expected = scores_of(Ensemble(with_places, "head", mergers=[512.0, 800.0]), STRAIN)
    assert np.array_equal(scores_of(build_model("ensemble", members=["first", "second"]), STRAIN), expected)
    assert not np.allclose(expected, scores_of(Ensemble(with_places, "head"), STRAIN))
