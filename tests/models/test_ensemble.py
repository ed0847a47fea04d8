import keras
import numpy as np
import pytest

from keras_gw_resnet import InputError, build_model
from keras_gw_resnet.models.ensemble import Ensemble
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
