import csv
import json

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_gw_resnet.search.candidates import Candidates, find_events, join, write_events
from keras_gw_resnet.search.scan import Scan

STRIDE = 1 / 64


def scan_of(evidence, reach=50):
    evidence = np.asarray(evidence, np.float32)
    total = np.cumsum(np.concatenate([[0.0], evidence]))
    return Scan(((total[reach:] - total[:-reach]) / reach).astype(np.float32), evidence, reach)


def bump(length, centre, height, width=3.0):
    return height * np.exp(-((np.arange(length) - centre) ** 2) / (2 * width**2)) - 2


def found(scan, threshold=0.0, merger=0.0):
    return find_events(scan, 1e9, STRIDE, merger_seconds=merger, tolerance_seconds=0.2, threshold=threshold)


@given(st.floats(60, 900), st.floats(40, 4000))
def test_a_signal_is_one_event_where_its_evidence_is(centre, height):
    scan = scan_of(bump(1000, centre, height))
    threshold = scan.scores.max() - 1e-3 * height
    events = found(scan, threshold, merger=0.1)
    assert len(events) == 1
    assert events.time[0] == pytest.approx(1e9 + centre * STRIDE + 0.1, abs=0.6 * STRIDE)
    assert events.stat[0] == pytest.approx(scan.scores.max())
    assert events.var[0] == 0.2


def test_times_near_gps_keep_milliseconds():
    events = find_events(
        scan_of(bump(1000, 500.5, 500)), 1126259446.25, STRIDE, merger_seconds=0.0, tolerance_seconds=0.2, threshold=0
    )
    assert events.time[0] == pytest.approx(1126259446.25 + 500.5 * STRIDE, abs=1e-3)


def test_events_keep_their_distance_and_the_louder_wins():
    evidence = bump(2000, 400, 300) + bump(2000, 440, 500) + 2 + bump(2000, 900, 400) + 2
    events = found(scan_of(evidence))
    assert len(events) == 2
    assert events.time == pytest.approx(1e9 + np.array([440, 900]) * STRIDE, abs=2 * STRIDE)


@given(st.lists(st.floats(-10, 10), min_size=60, max_size=300), st.floats(-5, 5))
def test_every_event_is_a_highest_score_above_the_threshold(values, threshold):
    scan = scan_of(values)
    events = found(scan, threshold)
    assert np.all(events.stat >= threshold)
    assert np.all(np.isfinite(events.time))
    if scan.scores.max() > threshold:
        assert events.stat.max() == pytest.approx(scan.scores.max())
    assert np.all((events.time >= 1e9) & (events.time <= 1e9 + len(values) * STRIDE))


def test_a_signal_at_the_very_edge_is_an_event():
    for centre in (0, 299):
        assert len(found(scan_of(bump(300, centre, 800)))) == 1


def test_joined_in_order_of_time_and_ranked_by_statistic():
    events = join(
        [Candidates(*np.array([[5.0, 9.0], [1.0, 4.0], [0.1, 0.1]])), Candidates(*np.array([[2.0], [3.0], [0.1]]))]
    )
    assert events.time.tolist() == [2, 5, 9]
    assert events.loudest(2).stat.tolist() == [4, 3]
    assert len(join([])) == 0


def test_files_hold_every_digit(tmp_path):
    events = Candidates(np.array([1126259462.4199219]), np.array([17.25]), np.array([0.25]))
    more = {"far": np.array([0.1])}
    _, table, text = write_events(events, tmp_path / "e.hdf", {"model": "m", "detectors": ["H1", "L1"]}, more)
    with h5py.File(tmp_path / "e.hdf") as file:
        expected = {"time": 1126259462.4199219, "stat": 17.25, "var": 0.25, "far": 0.1}
        assert {name: file[name][0] for name in file} == expected
        assert file["time"].ndim == 1
        assert file.attrs["model"] == "m"
    with table.open() as file:
        (row,) = csv.DictReader(file)
    assert {name: float(value) for name, value in row.items()} == expected
    assert json.loads(text.read_text()) == {"model": "m", "detectors": ["H1", "L1"], "events": [expected]}
    *_, text = write_events(events, tmp_path / "n.hdf", {}, {"far_class": np.array([np.nan])})
    assert '"far_class": null' in text.read_text(), "NaN is no JSON"


def test_candidates_of_stretches_with_and_without_gates_are_joined():
    plain = Candidates(np.array([5.0]), np.array([1.0]), np.array([0.1]), alone=np.array([[1.0, 2.0]]))
    gated = Candidates(np.array([2.0]), np.array([3.0]), np.array([0.1]), gated=np.array([[True, False]]))
    both = join([plain, gated, Candidates(*np.empty((3, 0)))])
    assert both.time.tolist() == [2.0, 5.0]
    assert both.gated.tolist() == [[True, False], [False, False]]
    np.testing.assert_array_equal(both.alone, [[np.nan, np.nan], [1.0, 2.0]])
