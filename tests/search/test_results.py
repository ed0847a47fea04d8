import json
from dataclasses import replace
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from keras_gw_resnet.evaluation.distrusted import distrusted_tables
from keras_gw_resnet.evaluation.event_table import background_lines, event_lines, event_table, further_tables
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
    rates = {name: np.full(6, 7.0) for name in ("far", "far_error", "ifar")}
    rates |= {name: np.zeros(6, bool) for name in ("far_is_limit", "far_extrapolated")}
    of_class = {"far_class": np.array([2.5, np.nan, 9, 9, 9, 9]), "far_class_is_limit": np.arange(6) == 2}
    header, rows = event_table(events, {**columns, **rates, **of_class}, ("H1", "L1"))
    assert {row[header.index("a year, its class")] for row in rows} == {"2.5", "-", "< 9", "9"}
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
    tables, numbers = further_tables(found, columns, [1, 2], [[gw150914 - 50, gw150914 + 50, "measured"]], -4.0)
    (_, _, rows), (heading, _, levels) = tables
    assert rows == [["GW150914", "50.00", "2", "< 0.5", "0.9000"]]
    assert "720.07 h" in heading
    assert levels == [["1000", "9.99"], ["100", "18.99"], ["10", "19.89"], ["1", "19.98"]]
    assert numbers["threshold_is_limit"] == [False] * 4
    short = Found(events, Background(stat[:9], background.time[:9], 3600.0), Coverage(), 1e9, 0.0, [], 0.0)
    ((_, _, few),), numbers = further_tables(short, columns, [], [], -4.0)
    assert few[1] == ["100", "> 0.08 (not shown)"] and numbers["threshold_is_limit"] == [False, True, True, True]
    lost = [[gw150914 - 50, gw150914 + 50, "measured"]]
    assert (
        further_tables(short, columns, [], [[gw150914 - 50, gw150914 + 50, "simulated"]], -4.0)[0]
        == further_tables(short, columns, [], [], -4.0)[0]
    )
    simulated = SimpleNamespace(origin="simulated", gps_start=0, gps_stop=2e9, detector="H1", remarks=())
    assert describing_columns(events, ("H1", "L1"), [simulated])["catalogue"].tolist() == [""] * 3
    assert further_tables(
        replace(short, events=events.select([0])), {**columns, "catalogue": np.array([""])}, [], lost, -4.0
    )[0][0][2] == [["GW150914", "not found", "-", "-", "-"]]


def test_thresholds_that_a_background_does_not_show_are_said_in_words():
    events = events_at(1005.0)
    columns = describing_columns(events, ("H1", "L1"), ())
    day = 86400.0
    for number, seconds, said, levels in (
        (0, 600.0, ["not shown (nothing above -4 in the slides)"] * 2, [-4.0, -4.0]),
        (0, day, ["-4 or less (noise exceeds it less often)"] * 2, [-4.0, -4.0]),
        (5, day, ["-4 or less (noise exceeds it less often)", "1.00"], [-4.0, 1.0]),
    ):
        background = Background(np.arange(float(number)), np.full((number, 2), 5000.0), seconds)
        found = Found(events, background, Coverage(), 1e9, 0.0, [], 0.0)
        ((_, _, rows),), numbers = further_tables(found, columns, [], [], -4.0)
        assert [text for _, text in rows[:2]] == said
        assert numbers["thresholds"][:2] == levels
        assert json.loads(json.dumps(numbers, allow_nan=False)) == numbers


def test_slides_that_do_not_fit_are_told():
    background = Background(np.arange(9.0), np.full((9, 2), 5000.0), 3600.0, slides=27)
    fits, fewer = (background_lines(background, 60.0, 0, "b.hdf", asked) for asked in (27, 100000))
    assert [line for line in fewer if line not in fits] == [
        "NOTE: of 100000 slides 27 fit into the longest stretch; there are no more"
    ]


def test_a_report_lists_what_is_to_be_distrusted(tmp_path):
    """Every gate, flagged time and event of one detector, in order of time, the first hundred shown."""
    gates = np.array([[number % 2, 1000.0 + number, 1000.5 + number, 60.0 + number] for number in range(103)])
    events = replace(events_at(1005.0, 1030.0), stat=np.array([60.0, 50.0]))
    columns = describing_columns(events, ("H1", "L1"), ())
    found = Found(events, join_backgrounds([], 2), Coverage(), 8.0, 0.0, [], 0.0, gates=gates)
    flagged = SimpleNamespace(detector="L1", remarks=((1010.0, 1012.0, "fails CBC_CAT2"),))
    absent = SimpleNamespace(detector="V1", remarks=((1.0, 2.0, "fails CBC_CAT1"),))
    # Two files that overlap say the same.
    tables = distrusted_tables(found, columns, ("H1", "L1"), [flagged, flagged, absent], "e.hdf")
    (gated, header, rows), (_, _, flags), (lone, _, alone) = tables
    assert gated == "Gated strain (the first 100 of 103, 3 more; all in e.hdf, gates)"
    assert header == ("detector", "from GPS (s)", "to GPS (s)", "seconds", "peak (sigma)")
    assert len(rows) == 100 and rows[1] == ["L1", "1001.000", "1001.500", "0.500", "61.0"]
    assert flags == [["L1", "1010.000", "1012.000", "fails CBC_CAT2"]]
    assert lone == "Glitch-like: one detector alone (1)" and alone == [["H1", "1030.000", "50.00", "2"]]
    network = SimpleNamespace(name="net", detectors=("H1", "L1"))
    table = event_table(events, columns, ("H1", "L1"))
    write_search_report(tmp_path / "r.html", network, table, [], {"files": ["a"]}, doubtful=tables)
    page = (tmp_path / "r.html").read_text()
    assert "fails CBC_CAT2" in page and page.count("<td>0.500</td>") == 100 and gated in page
    assert (
        distrusted_tables(replace(found, gates=gates[:0], events=events.select([0])), columns, ("H1", "L1"), [], "")
        == []
    )
