import h5py
import numpy as np
import pytest

from keras_gw_resnet.evaluation.event_table import event_lines, event_table
from keras_gw_resnet.search.candidates import Candidates, join, speaks_alone, write_events
from keras_gw_resnet.search.results import describing_columns
from keras_gw_resnet.strain.files import find_segments
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
