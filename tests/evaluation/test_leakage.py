import pytest

from keras_gw_resnet import InputError
from keras_gw_resnet.evaluation.leakage import report_leakage, seen_in_training, seen_windows, trainings_of

CARD = {
    "name": "net",
    "training": {
        "data": {
            "bank": {"fingerprint": "abc"},
            "gps_intervals": [[0, 100, "seed 1"], [200, 300, "seed 1"]],
            "held_out_gps_intervals": [[100, 110, "seed 1"]],
        }
    },
}


@pytest.mark.parametrize(
    ("intervals", "fingerprint", "expected"),
    [
        ([[0, 100, "seed 2"]], "xyz", []),
        ([[110, 200, "seed 1"]], "xyz", []),
        ([[90, 105, "seed 1"]], "xyz", ["trained on 10 s", "validated on 5 s"]),
        ([[90, 95, "seed 1"], [250, 400, "seed 1"]], None, ["trained on 55 s"]),
        ([], "abc", ["waveform bank"]),
    ],
)
def test_seen_data_are_named(intervals, fingerprint, expected):
    seen = seen_in_training(CARD, intervals, fingerprint)
    assert len(seen) == len(expected)
    assert all(part in sentence for part, sentence in zip(expected, seen, strict=True))


def test_what_a_network_began_with_counts_too():
    own = {"data": {"gps_intervals": [[500, 600, "seed 3"]], "windows": {"trained_on": ["a", "b"]}}}
    tuned = {"name": "tuned", "training": {**own, "begun_with": {"net": CARD["training"]}}}
    joined = {"name": "joined", "training": {"begun_with": {"tuned": tuned["training"]}}}
    for card in (tuned, joined):
        seen = seen_in_training(card, [[90, 95, "seed 1"], [500, 520, "seed 3"]], "abc")
        assert "waveform bank" in seen[0]
        assert "trained on 25 s" in seen[1]
        assert "(1 of a sample of 2)" in seen_windows(card, ["b", "c"])[0]
    assert seen_windows(CARD, ["a"]) == []


def test_members_trained_alike_count_each_and_a_common_beginning_once():
    common, alike = {"examples": 5}, {"examples": 100}
    begun = {**alike, "begun_with": {"first": common}}
    members = {"a": begun, "b": begun, "c": alike, "d": alike}
    card = {"name": "joined", "training": {"examples": 1, "begun_with": members}}
    assert sum(training["examples"] for training in trainings_of(card)) == 1 + 4 * 100 + 5


def test_old_and_empty_cards_claim_nothing():
    assert seen_in_training({"name": "net"}, [[0, 1, ""]], "abc") == []
    assert seen_in_training({"training": {"data": {"gps_intervals": [[0, 5]]}}}, [[0, 1, ""]]) == []


def test_strict_refuses(capsys):
    report_leakage(CARD, [], True)
    report_leakage(CARD, ["it was trained on 5 s of this noise"], False)
    assert capsys.readouterr().out.startswith("NOTE: net knows these data: it was trained on 5 s")
    with pytest.raises(InputError, match="leave out --strict"):
        report_leakage(CARD, ["it was trained on 5 s of this noise"], True)
