import re

import h5py
import numpy as np
import pytest

from keras_gw_resnet import InputError, cli
from keras_gw_resnet.strain.files import find_segments
from keras_gw_resnet.strain.inspection import find_groups, inspect_detector
from keras_gw_resnet.strain.writers import mlgwsc1_file, write_gwosc
from tests.conftest import assert_refused, run_command

INSPECT = ("-m", "keras_gw_resnet", "inspect")


@pytest.fixture(scope="module")
def strain_file(tmp_path_factory):
    """A hundred seconds of white noise of known level with three glitches and a gap."""
    path = tmp_path_factory.mktemp("inspect") / "strain.hdf"
    strain = np.random.default_rng(0).normal(size=100 * 2048) * 1e-21
    for second in (20, 50.0, 50.1, 80):
        strain[round(second * 2048)] += 5e-20
    strain[60 * 2048 : 65 * 2048] = np.nan
    with mlgwsc1_file(path, ["H1", "L1"], 2048) as add:
        add("H1", 1000, strain)
        add("L1", 1000, strain[: 10 * 2048])
    return path


def test_what_is_in_a_file_is_found(strain_file):
    report = inspect_detector(find_segments(strain_file), "H1")
    assert (report.given, report.valid) == (100, 95)
    assert report.whitened == pytest.approx(95 - 8, abs=0.01)
    assert report.glitches == 3
    assert report.glitches_per_minute == pytest.approx(60 * 3 / 87, rel=0.01)
    # White noise of variance s^2 has the one-sided density s^2 / (rate / 2).
    assert np.median(report.asd[100:4000]) == pytest.approx(1e-21 / np.sqrt(1024), rel=0.05)
    loudest = np.sort(report.time[np.argsort(report.envelope)[-3:]])
    np.testing.assert_allclose(loudest, [1020, 1050, 1080], atol=0.26)


def test_the_closeup_shows_the_loudest_sample_with_its_sign(tmp_path):
    strain = np.random.default_rng(0).normal(size=100 * 2048) * 1e-21
    strain[20 * 2048] += 5e-20
    strain[70 * 2048] -= 9e-20
    strain[97 * 2048 + 1024] += 7e-20
    with mlgwsc1_file(tmp_path / "a.hdf", ["H1"], 2048) as add:
        add("H1", 1000, strain)
    report = inspect_detector(find_segments(tmp_path / "a.hdf"), "H1")
    loudest = np.argmax(np.abs(report.closeup))
    assert report.closeup_time[loudest] == 1070
    assert report.closeup[loudest] == pytest.approx(-90, rel=0.1)
    assert report.closeup[loudest] < 0
    np.testing.assert_array_equal(report.closeup_time, 1069 + np.arange(2 * 2048 + 1) / 2048)
    strain[97 * 2048 + 1024] += 7e-20
    with mlgwsc1_file(tmp_path / "b.hdf", ["H1"], 2048) as add:
        add("H1", 1000, strain)
    at_the_end = inspect_detector(find_segments(tmp_path / "b.hdf"), "H1").closeup_time
    assert (at_the_end[0], at_the_end[-1]) == (1096.5, 1098 - 1 / 2048)


def test_the_closeup_of_an_event_is_around_its_merger(gw150914_files):
    headers = find_segments(gw150914_files)
    for detector in ("H1", "L1"):
        report = inspect_detector(headers, detector)
        loudest = report.closeup_time[np.argmax(np.abs(report.closeup))]
        assert loudest == pytest.approx(1126259462.42, abs=0.02)


def test_too_little_strain_has_no_spectrum(strain_file):
    report = inspect_detector(find_segments(strain_file), "L1")
    assert report.given == 10
    assert np.isnan(report.deviation)
    assert np.isnan(report.glitches_per_minute)
    assert np.all(np.isnan(report.asd))
    assert len(report.closeup) == len(report.closeup_time) == 0


def test_inspect_prints_and_draws(strain_file, tmp_path):
    picture = tmp_path / "strain.png"
    result = run_command(*INSPECT, strain_file, "--plot", picture)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[1][:4] == ["H1", "1000", "100", "2048"]
    assert any(line[:3] == ["H1", "100.0", "95.0"] for line in lines if line)
    assert picture.stat().st_size > 20_000
    assert_refused(run_command(*INSPECT, strain_file, "--plot", picture), "exists already")
    assert_refused(run_command(*INSPECT, tmp_path / "none.hdf"), "none.hdf", "no such file")


def rows_of(text):
    """Split what was printed into tables, and those into rows of cells."""
    return [[re.split(r"  +", line.strip()) for line in part.splitlines()] for part in text.split("\n\n")]


def test_inspect_prints_the_flags_of_both_polarities(tmp_path, capsys):
    names = {"H1": ["NO_CBC_HW_INJ"], "L1": ["HW_CBC"]}
    for index, (detector, own) in enumerate(names.items()):
        path, strain = tmp_path / f"{detector}.hdf5", np.random.default_rng(index).normal(size=20 * 2048) * 1e-21
        strain[0] = np.nan
        write_gwosc(path, detector, 100, 2048, strain, "SIMULATED")
        with h5py.File(path, "r+") as file:
            file["quality/injections/Injmask"] = (np.arange(20) < 3).astype(np.uint32)
            file["quality/injections/InjShortnames"] = np.array(own, "S")
    assert cli.main(["inspect", str(tmp_path)]) == 0
    _, flags, _ = rows_of(capsys.readouterr().out)
    assert flags[1:] == [
        ["flag", "a set second", "H1", "L1"],
        ["DATA", "is good", "19 of 20", "19 of 20"],
        ["NO_CBC_HW_INJ", "is good", "3 of 20", "-"],
        ["HW_CBC", "has an injection", "-", "3 of 20"],
    ]


def test_inspect_prints_the_flags_of_real_files(gw150914_files, capsys):
    assert cli.main(["inspect", *map(str, gw150914_files)]) == 0
    _, flags, _ = rows_of(capsys.readouterr().out)
    assert flags[0] == ["seconds with each flag set, 2 files:"]
    assert ["CBC_CAT3", "is good", "32 of 32", "32 of 32"] in flags
    assert ["NO_CW_HW_INJ", "is good", "32 of 32", "0 of 32"] in flags
    assert len(flags) == 2 + 7 + 5


def test_files_that_overlap_are_inspected_one_by_one(tmp_path, capsys):
    for index, name in enumerate(("background", "foreground")):
        with mlgwsc1_file(tmp_path / "set" / f"{name}.hdf", ["H1", "L1"], 2048) as add:
            for detector in ("H1", "L1"):
                add(detector, 1000, np.random.default_rng(index).normal(size=20 * 2048) * 1e-21 * (1 + index))
    assert cli.main(["inspect", str(tmp_path / "set"), "--plot", str(tmp_path / "set.png")]) == 0
    segments, noise = rows_of(capsys.readouterr().out)
    expected = [(d, f"set/{name}.hdf") for name in ("background", "foreground") for d in ("H1", "L1")]
    assert [(row[0], row[-1]) for row in segments[1:]] == expected
    assert [(row[0], row[-1]) for row in noise[1:5]] == expected
    quiet, loud = (float(noise[row][4]) for row in (1, 3))
    assert loud == pytest.approx(2 * quiet, rel=0.3)
    assert (tmp_path / "set.png").stat().st_size > 20_000


def test_files_apart_are_inspected_together_and_an_overlap_within_one_is_refused(tmp_path):
    for name, starts in (("a", (0, 20)), ("b", (40, 60)), ("bad", (0, 5))):
        with mlgwsc1_file(tmp_path / f"{name}.hdf", ["H1"], 2048) as add:
            for start in starts:
                add("H1", start, np.ones(10 * 2048))
    (group,) = find_groups(["GW150914"])
    assert [(h.detector, h.gps_start) for h in group] == [("H1", 1126259446), ("L1", 1126259446)]
    (group,) = find_groups([tmp_path / "a.hdf", tmp_path / "b.hdf"])
    assert [h.gps_start for h in group] == [0, 20, 40, 60]
    with pytest.raises(InputError, match=r"bad\.hdf: H1 from GPS 5 overlaps"):
        find_groups([tmp_path / "a.hdf", tmp_path / "bad.hdf"])


def test_inspect_draws_training_examples(small_data, tmp_path):
    picture = tmp_path / "examples.png"
    result = run_command(*INSPECT, small_data, "--examples", 5, "--plot", picture)
    assert result.returncode == 0, result.stderr
    assert picture.stat().st_size > 50_000
    assert_refused(run_command(*INSPECT, small_data, "--examples", 5), "--plot FILE")
