import keras
import numpy as np
import pytest

from keras_gw_resnet import InputError, build_model
from keras_gw_resnet.models import front
from keras_gw_resnet.models.front import front_of
from keras_gw_resnet.models.graph import positions_of, read_parts
from keras_gw_resnet.models.matched_filter import FURTHER_LIMIT, FURTHER_VARIANCE, set_phases, set_templates
from keras_gw_resnet.models.ranking import OWN_LAYERS
from tests.conftest import settle_batch_norm
from tests.models.ranked import (
    POSITIONS,
    SMALL,
    noise,
)

pytestmark = pytest.mark.usefixtures("seeded")


def test_a_third_detector_adds_what_it_says_by_itself(tmp_path):
    """Silent it takes the same from every score; what is there within the time of light adds, up to a limit, whatever its phase."""
    ranked = {"template_stride": 4, "statistic_shortcut": 1.0, "statistic_templates": 2, "statistic_coherent": True}
    two = build_model("resnet16", **SMALL, **POSITIONS, **ranked)
    rng = np.random.default_rng(3)
    basis = np.linalg.qr(rng.normal(size=(256, 64)))[0].T.astype("float32")
    set_templates(two, basis, *rng.normal(size=(2, 6, 64)).astype("float32") / 8)
    template = np.concatenate([np.eye(64, dtype="float32")[:2]] * 2)
    set_phases(two, OWN_LAYERS, template[[0, 0, 0, 0]], template[[1, 1, 1, 1]])
    settle_batch_norm(two)
    two.save(tmp_path / "model.keras")
    options = {**SMALL, **POSITIONS, **ranked, "stack_detectors": 2}
    three = build_model("resnet16", **options, input_shape=(2048, 3), weights=str(tmp_path / "model.keras"))
    assert front_of(three).stack_detectors == 2 and front_of(two).stack_detectors == 0
    places = [keras.Model(m.input, positions_of(m).output) for m in (two, three)]
    strain = np.concatenate([noise(2048, 1), np.zeros((1, 2048, 1), "float32")], axis=-1)
    strain[0, 900:1156, :2] += 5 * basis[0][:, None]

    def added(loudness=0.0, kernel=0, later=0):
        own = strain.copy()
        own[0, 900 + later : 1156 + later, 2] += loudness * basis[kernel]
        before, after = (
            np.asarray(each(given))[0, :, 0] for each, given in zip(places, (own[..., :2], own), strict=True)
        )
        dropped = (len(before) - len(after)) // 2
        return (after - before[dropped : len(before) - dropped])[np.argmax(after)], after - before[
            dropped : -dropped or None
        ]

    silent, everywhere = added()
    np.testing.assert_allclose(everywhere, -np.log(1 + FURTHER_VARIANCE), atol=1e-4)
    gain = FURTHER_VARIANCE / (1 + FURTHER_VARIANCE)
    expected = silent + np.log1p((np.exp(gain * 4.0**2 / 2) - 1) / 17)
    for kernel, later in ((0, 0), (1, 0), (0, 48), (0, -48)):
        assert added(4.0, kernel, later)[0] == pytest.approx(expected, abs=1.0), (kernel, later)
    assert added(4.0, 5)[0] == pytest.approx(silent, abs=0.2)
    assert added(4.0, 0, 200)[0] < silent + 0.5
    assert added(4.0)[0] < added(5.0)[0] < added(40.0)[0] < silent + gain * FURTHER_LIMIT


def test_options_for_several_detectors():
    for options, detectors, message in (
        ({"stack_detectors": 3}, 2, "takes 2; expected as many at most"),
        ({"stack_detectors": 1, **POSITIONS, "statistic_shortcut": 1.0}, 2, "give statistic_templates too"),
        (
            {**POSITIONS, "statistic_shortcut": 1.0, "statistic_templates": 2, "statistic_coherent": True},
            1,
            "one detector",
        ),
    ):
        with pytest.raises(InputError, match=message):
            build_model("resnet16", **SMALL, **options, input_shape=(2048, detectors))
    with pytest.raises(InputError, match="stack_detectors=1: is of templates"):
        build_model("resnet16", stack_detectors=1)


def test_a_new_part_of_the_front_leaves_what_is_read_of_the_others(monkeypatch):
    """As CONTRIBUTING.md says: a line in CHANNELS; how many detectors the stack sees does not follow from how many channels there are."""
    more = (lambda _: True, lambda seen: [seen.powers[0] * 2.0])
    monkeypatch.setattr(front, "CHANNELS", (*front.CHANNELS, more))
    for number in (1, 2, 0):
        model = build_model("resnet16", **SMALL, stack_detectors=number, input_shape=(2048, 3))
        assert read_parts(model) == model.parts and model.parts.front.stack_detectors == number
