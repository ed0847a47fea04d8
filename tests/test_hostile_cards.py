"""Cards of saved networks that are damaged or hostile, one of each kind."""

import json

import pytest

from keras_gw_resnet import InputError
from keras_gw_resnet.errors import LONGEST
from keras_gw_resnet.models.parts import Parts
from keras_gw_resnet.models.receptive import ReceptiveField
from keras_gw_resnet.zoo import load_card
from tests.fuzz import CARD

PARTS = Parts(2048, field=ReceptiveField(32, 10, 10), head="average", head_layer="score").to_dict()
WRONG_PARTS = (
    ("cropping", [1, 2, 3]),
    ("cropping", ["a", "b"]),
    ("head", 5),
    ("head_kernel", 0),
    ("window_samples", 1e300),
    ("front", {"templates": -1}),
    ("front", []),
    ("field", {"stride": 0}),
    ("field", {"left": "x"}),
)


def test_parts_of_a_card_are_read(tmp_path):
    (tmp_path / "model.keras").touch()
    (tmp_path / "card.json").write_text(json.dumps({**CARD, "parts": PARTS}))
    assert Parts.from_dict(load_card(tmp_path)["parts"]).to_dict() == PARTS


@pytest.mark.parametrize(
    ("card", "message"),
    [
        ({"whitening": {"low_frequency": 1e9}}, "removes all below"),
        ({"whitening": {"low_frequency": float("nan")}}, "low_frequency = nan"),
        ({"whitening": {"psd_seconds": 1e12}}, "psd_seconds = "),
        ({"whitening": {"filter_seconds": 1e-9}}, "filter_seconds = "),
        ({"whitening": {"sample_rate": 2048.5}}, "sample_rate = 2048.5"),
        ({"name": "../../evil"}, "no name of a file"),
        ({"name": "x" * 1000}, "no name of a file"),
        ({"sha256": "../x"}, "sha256 is"),
        ({"detectors": ["H1", "H1"]}, "twice"),
        ({"window_samples": True}, "window_samples is True"),
        ({"window_samples": 10**12}, "window_samples is"),
        ({"timing": {"merger_seconds": float("inf"), "tolerance_seconds": 0.1}}, "timing lacks merger_seconds"),
        ({"timing": {"merger_seconds": 1e6, "tolerance_seconds": 0.1}}, "timing is"),
        ({"signals": [1]}, r"signals is \[1\]"),
        ({"signals": {"stat": ["x"]}}, "signals is"),
        ({"training": []}, "training is"),
        ({"training": {"data": {"gps_intervals": [5]}}}, "gps_intervals"),
        ({"metrics": "x" * 10**6}, "metrics is"),
        ({"options": {"members": 5}}, "members"),
        *(
            ({"parts": parts}, "parts is")
            for parts in ("x", 5, [1], {"a": 1}, {"features": None}, {**PARTS, "field": 3})
        ),
        *(({"parts": {**PARTS, name: value}}, "parts is") for name, value in WRONG_PARTS),
    ],
)
def test_hostile_cards(tmp_path, card, message):
    (tmp_path / "model.keras").touch()
    (tmp_path / "card.json").write_text(json.dumps(CARD))
    assert load_card(tmp_path) == CARD
    (tmp_path / "card.json").write_text(json.dumps({**CARD, **card}))
    with pytest.raises(InputError, match=message) as error:
        load_card(tmp_path)
    assert len(str(error.value)) <= LONGEST
