from dataclasses import replace
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from keras_gw_resnet.evaluation.event_table import event_lines, event_table, further_tables
from keras_gw_resnet.evaluation.report import write_search_report
from keras_gw_resnet.search.background import Background, join_backgrounds
from keras_gw_resnet.search.candidates import Candidates, join, speaks_alone, write_events
from keras_gw_resnet.search.results import Found, Snapshot, describing_columns
from keras_gw_resnet.strain.files import find_segments
from keras_gw_resnet.strain.stretches import Coverage
from keras_gw_resnet.strain.writers import write_gwosc


def write_with_masks(path, *, good, names, injected, injection_names):
    write_gwosc(path, "H1", 1000, 4096, np.random.default_rng(0).normal(size=40 * 4096), "SIMULATED")
    with h5py.File(path, "r+") as file:
        del file["quality/simple"]
        file["quality/simple/DQmask"], file["quality/simple/DQShortnames"] = good, names
        file["quality/injections/Injmask"] = injected
        file["quality/injections/InjShortnames"] = injection_names
    return path


def events_at(*times):
    """Events at these times; the last is of H1 alone."""
    alone = np.tile([-3.0, -4.0], (len(times), 1))
    alone[-1] = 49.0, -5.0
    return Candidates(np.array(times), np.full(len(times), 50.0), np.full(len(times), 0.2), alone)


@pytest.mark.parametrize("run", ["O1", "S5"])
def test_hardware_injections_and_flags_are_said(tmp_path, run):
    """From O1 on a set bit says that there is no injection, in S5 that there is one."""
    good, injected = np.full(40, 0b11, np.uint32), np.zeros(40, np.uint32)
    good[30:32], injected[10:12] = 0b01, 0b01
    injected |= 0b10 * np.uint32(1)
    names = [b"HW_CBC", b"HW_CW"]
    if run == "O1":
        injected, names = injected ^ 0b11, [b"NO_CBC_HW_INJ", b"NO_CW_HW_INJ"]
    path = write_with_masks(
        tmp_path / "a.hdf5", good=good, names=[b"DATA", b"CBC_CAT2"], injected=injected, injection_names=names
    )
    events = events_at(1005.0, 1011.5, 1012.1, 1012.9, 1030.5, 1035.0)
    columns = describing_columns(events, ("H1", "L1"), find_segments([path]))
    injection, flag = "H1: CBC hardware injection", "H1: fails CBC_CAT2"
    # Continuous waves were injected for months: they mark no event.
    assert columns["remarks"].tolist() == ["", injection, injection, "", flag, ""]
    assert columns["one_detector"].tolist() == ["", "", "", "", "", "H1"]
    header, rows = event_table(events, columns, ("H1", "L1"))
    assert header[3:5] == ["H1 alone", "L1 alone"] and header[-1] == "remarks"
    assert {row[-1] for row in rows} == {"", injection, flag, "H1 alone: glitch-like"}
    assert any("the file marks a hardware injection there" in line for line in event_lines(events, columns))
    write_events(events, tmp_path / "e.hdf", {}, columns)
    with h5py.File(tmp_path / "e.hdf") as file:
        assert file["remarks"].asstr()[1] == injection and file["one_detector"].asstr()[5] == "H1"
        np.testing.assert_array_equal(file["stat_H1"], events.alone[:, 0])
    assert injection in (tmp_path / "e.csv").read_text() and injection in (tmp_path / "e.json").read_text()


def test_one_detector_alone():
    stat = np.array([61.0, 216.0, 10.0, 4.0])
    alone = np.array([[3.0, 5.0], [-6.0, 213.0], [np.nan, np.nan], [-3.0, -2.0]])
    assert speaks_alone(stat, alone).tolist() == [-1, 1, -1, -1]
    assert speaks_alone(stat[:1], np.array([[50.0, -5.0, 3.0]])).tolist() == [0]
    assert speaks_alone(stat, np.zeros((4, 0))).tolist() == [-1] * 4
    gone = join([events_at(5.0, 3.0), Candidates(*np.empty((3, 0)))])
    assert gone.time.tolist() == [3.0, 5.0] and gone.alone[0, 0] == 49.0
    assert len(join([])) == 0


def test_the_report_marks_what_is_gated_flagged_and_glitch_like(tmp_path):
    """One page tells of an event what each detector makes alone, and what is to be distrusted around it."""
    time = 1000 + np.arange(0, 8, 1 / 32)
    scores = np.where(np.abs(time - 1005) < 0.2, 60.0, -3.0)
    alone = np.stack([scores / 8 - 8, np.where(scores > 0, 55.0, -9.0)], axis=-1)
    strain = np.random.default_rng(0).normal(size=(8 * 2048, 2)).astype(np.float32)
    snapshot = Snapshot(1005.0, 60.0, 1000.0, 2048, strain, time, scores, alone, np.array([[0.0, 1001.0, 1001.5]]))
    good, injected = np.full(40, 0b11, np.uint32), np.full(40, 0b11, np.uint32)
    good[3], injected[20] = 0b01, 0b10
    path = write_with_masks(
        tmp_path / "a.hdf5",
        good=good,
        names=[b"DATA", b"CBC_CAT2"],
        injected=injected,
        injection_names=[b"NO_CBC_HW_INJ", b"NO_CW_HW_INJ"],
    )
    marks = snapshot.marks(("H1", "L1"), find_segments([path]))
    assert [what for *_, what in marks] == ["gated", "fails CBC_CAT2", "L1 alone: glitch-like"]
    assert marks[0][:3] == ("H1", 1001.0, 1001.5) and marks[1][:3] == ("H1", 1003.0, 1004.0)
    assert marks[2][0] is None and marks[2][1] == pytest.approx(1004.8, abs=0.05) == marks[2][2] - 0.4
    found = Found(events_at(1005.0), join_backgrounds([], 2), Coverage(), 8.0, 0.0, [snapshot], 0.0)
    again = Found.from_arrays({name: np.asarray(value) for name, value in found.to_arrays().items()})
    np.testing.assert_array_equal(again.snapshots[0].gates, snapshot.gates)
    events = events_at(1005.0)
    columns, network = describing_columns(events, ("H1", "L1"), ()), SimpleNamespace(name="net", detectors=("H1", "L1"))
    table = event_table(events, columns, ("H1", "L1"))
    write_search_report(
        tmp_path / "r.html", network, table, [snapshot], {"files": ["a"]}, headers=find_segments([path])
    )
    page = (tmp_path / "r.html").read_text()
    for said in (
        "Statistic 50.00 of all detectors; H1 alone 49.00, L1 alone -5.00.",
        "gated",
        "fails CBC_CAT2",
        "1003.000",
    ):
        assert said in page


def test_catalogue_events_and_thresholds_are_listed():
    gw150914 = 1126259462.4
    events = events_at(gw150914 - 5, gw150914 + 0.3, gw150914 + 9)
    columns = describing_columns(events, ("H1", "L1"), ())
    assert columns["catalogue"].tolist() == ["", "GW150914", ""]
    beside = replace(events_at(gw150914 - 0.9, gw150914 + 0.3), stat=np.array([3.0, 50.0]))
    assert describing_columns(beside, ("H1", "L1"), ())["catalogue"].tolist() == ["", "GW150914"]
    columns |= {
        "far": np.array([9.0, 0.5, 3.0]),
        "far_is_limit": np.array([False, True, False]),
        "p_astro": np.full(3, 0.9),
    }
    columns |= {"far_error": np.ones(3), "far_extrapolated": np.zeros(3, bool), "ifar": 1 / columns["far"]}
    # 30 days and little more, of which 500 louder events hold strain of the known event, and two that of one taken out.
    month = 30 * 86400.0 * 1.0001
    stat = np.concatenate([np.arange(2000.0) / 100, np.full(500, 90.0), np.full(2, 95.0)])
    time = np.repeat(np.array([gw150914 + 1000, gw150914 - 3.5, gw150914 + 9.5]), [2000, 500, 2])
    background = Background(stat, np.stack([time, time + 1000], axis=-1), month)
    found = Found(events, background, Coverage(), 1e9, 0.0, [], 0.0)
    tables, numbers = further_tables(found, columns, [1, 2], [[gw150914 - 50, gw150914 + 50, "measured"]])
    (_, _, rows), (heading, _, levels) = tables
    assert rows == [["GW150914", "50.00", "2", "< 0.5", "0.9000"]]
    assert "720.07 h" in heading
    assert levels == [["1000", "9.99"], ["100", "18.99"], ["10", "19.89"], ["1", "19.98"]]
    assert numbers["threshold_is_limit"] == [False] * 4
    short = Found(events, Background(stat[:9], background.time[:9], 3600.0), Coverage(), 1e9, 0.0, [], 0.0)
    (_, _, few), numbers = further_tables(short, columns, [], [])[0][0], further_tables(short, columns, [], [])[1]
    assert few[1] == ["100", "> 0.08 (not shown)"] and numbers["threshold_is_limit"] == [False, True, True, True]
    lost = [[gw150914 - 50, gw150914 + 50, "measured"]]
    assert (
        further_tables(short, columns, [], [[gw150914 - 50, gw150914 + 50, "simulated"]])[0]
        == further_tables(short, columns, [], [])[0]
    )
    simulated = SimpleNamespace(origin="simulated", gps_start=0, gps_stop=2e9, detector="H1", remarks=())
    assert describing_columns(events, ("H1", "L1"), [simulated])["catalogue"].tolist() == [""] * 3
    assert further_tables(
        replace(short, events=events.select([0])), {**columns, "catalogue": np.array([""])}, [], lost
    )[0][0][2] == [["GW150914", "not found", "-", "-", "-"]]
