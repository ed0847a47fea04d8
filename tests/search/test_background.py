import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_gw_resnet import InputError
from keras_gw_resnet.search.background import (
    Background,
    read_background,
    slid_background,
    slide_seconds,
    write_background,
)
from keras_gw_resnet.search.candidates import Candidates
from keras_gw_resnet.search.ranks import take_out_signals
from keras_gw_resnet.search.scan import Scan
from keras_gw_resnet.strain.stretches import WhitenedStretch

RATE = 256
CARD = {"name": "m", "sha256": "abc", "detectors": ["H1", "L1"]}
GIVEN = (CARD, 0.0, "float32")


class Multiplier:
    """A network whose score is the largest product of the detectors' strain within half a second."""

    window_samples, stride_seconds, name = RATE, 1 / RATE, "product"

    class scanner:
        @staticmethod
        def scan(strain, progress=None):
            scores = np.prod(strain, axis=1).astype(np.float32)
            return Scan(scores[: len(scores) - RATE + 1], scores, 1)

    def times_of(self, scan):
        return np.arange(len(scan.scores)) / RATE + 0.5

    def cluster(self, scan, gps_start, threshold):
        (places,) = np.nonzero(scan.scores > threshold)
        return Candidates(gps_start + places / RATE, scan.scores[places].astype(float), np.full(len(places), 0.1))


def stretch_of(strain):
    return WhitenedStretch(5000.0, RATE, tuple("ABC"[: strain.shape[1]]), strain.astype(np.float32), ())


@given(st.integers(0, 20), st.integers(0, 20))
def test_times_in_each_detector_are_where_the_strain_came_from(first, second):
    """A spike in each detector: slides bring the two together, and say where each was."""
    step = slide_seconds(1.0)
    strain = np.zeros((40 * RATE, 2))
    strain[first * RATE + 7, 0] = strain[second * RATE + 7, 1] = 10
    found = slid_background(Multiplier(), stretch_of(strain), 100, 50.0)
    meet = [k for k in range(1, 20) if (second + k * step) % 40 == first and k * step + step <= 40]
    assert len(found.stat) == len(meet)
    for time in found.time:
        np.testing.assert_allclose(time, 5000 + np.array([first, second]) + 7 / RATE, atol=1e-6)
    assert found.seconds == pytest.approx(19 * (40 - 1 + 1 / RATE))


def test_three_detectors_never_meet_again():
    strain = np.zeros((40 * RATE, 3))
    strain[3 * RATE] = 10
    found = slid_background(Multiplier(), stretch_of(strain), 100, 50.0)
    assert len(found.stat) == 0
    assert found.seconds == pytest.approx(9 * (40 - 1 + 1 / RATE))


def test_too_short_to_slide():
    assert slid_background(Multiplier(), stretch_of(np.zeros((3 * RATE, 2))), 5, 0.0).seconds == 0


@given(st.floats(0, 40), st.floats(0.1, 20))
def test_vetoes_take_time_and_events_of_either_detector(start, length):
    strain = np.ones((40 * RATE, 2))
    veto = np.array([[5000 + start, 5000 + start + length]])
    found = slid_background(Multiplier(), stretch_of(strain), 3, 0.5, veto)
    assert not np.any((found.time >= veto[0, 0]) & (found.time < veto[0, 1]))
    # Counted again sample by sample: the middle of each window in the strain of either detector.
    middle, live = np.arange(39 * RATE + 1) / RATE + 0.5, 0
    for slide in (1, 2, 3):
        other = (middle - 2 * slide) % 40
        bad = [(t >= veto[0, 0] - 5000) & (t < veto[0, 1] - 5000) for t in (middle, other)]
        live += np.count_nonzero(~(bad[0] | bad[1]))
    assert found.seconds == pytest.approx(live / RATE, abs=6 / RATE)
    assert found.slides == 3


def test_signals_are_taken_out_and_no_more():
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 1, 2000)
    time = rng.uniform(0, 1000, (2000, 2))
    # The signal at 500 s, slid against noise, makes loud events of its own.
    time[:30, 0] = 500.2
    noise[:30] = 8
    background = Background(noise, time, 1e5)
    events = Candidates(np.array([100.0, 500.0, 900.0]), np.array([2.0, 12.0, 1.0]), np.full(3, 0.1))
    exclusive, taken, rates = take_out_signals(events, background, 1000.0, np.zeros(3, bool))
    assert taken.tolist() == [1] and rates == [pytest.approx(1 / 1e5)]
    assert exclusive.stat.max() < 5
    assert exclusive.seconds == pytest.approx(1e5 * (1 - 4 / 1000))
    faint = Candidates(*np.array([[100.0], [2.0], [0.1]]))
    untouched, none, _ = take_out_signals(faint, background, 1000.0, np.zeros(1, bool))
    assert len(none) == 0
    assert len(untouched.stat) == 2000


def test_written_and_read_again(tmp_path):
    background = Background(np.array([1.0, 2.5]), np.array([[1.0, 3.0], [9.0, 4.0]]), 123.5)
    made = {"model_sha256": "abc", "threshold": 0.0, "precision": "float32"}
    write_background(background, tmp_path / "b.hdf", ("H1", "L1"), made)
    again = read_background(tmp_path / "b.hdf", *GIVEN)
    np.testing.assert_array_equal(again.stat, background.stat)
    np.testing.assert_array_equal(again.time, background.time)
    assert again.seconds == 123.5
    with h5py.File(tmp_path / "b.hdf") as file:
        assert file["stat"].dtype == np.float32 and file["time_H1"].dtype == np.float64
        assert file["stat"].compression == "gzip"
    with pytest.raises(InputError, match="another network than m"):
        read_background(tmp_path / "b.hdf", {**CARD, "sha256": "other"}, *GIVEN[1:])
    with pytest.raises(InputError, match="no such file"):
        read_background(tmp_path / "none.hdf", *GIVEN)
    (tmp_path / "text.hdf").write_text("hello")
    with pytest.raises(InputError, match="cannot be read as a background"):
        read_background(tmp_path / "text.hdf", *GIVEN)
    with pytest.raises(InputError, match="made with --threshold 0"):
        read_background(tmp_path / "b.hdf", CARD, -4.0, "float32")
    with pytest.raises(InputError, match="--precision float32"):
        read_background(tmp_path / "b.hdf", CARD, 0.0, "bfloat16")
    for odd in (np.ones((2, 2)), np.array([1, 2j]), np.array([1.0, np.nan])):
        write_background(Background(background.stat, background.time, 1.0), tmp_path / "odd.hdf", ("H1", "L1"), made)
        with h5py.File(tmp_path / "odd.hdf", "a") as file:
            del file["stat"]
            file["stat"] = odd
        with pytest.raises(InputError, match=r"odd\.hdf: (cannot be read|has 1 s)"):
            read_background(tmp_path / "odd.hdf", *GIVEN)
    with h5py.File(tmp_path / "b.hdf", "a") as file:
        file.attrs["searched_seconds"] = 0.0
    with pytest.raises(InputError, match="has 0 s of strain"):
        read_background(tmp_path / "b.hdf", *GIVEN)
