import itertools

import h5py
import numpy as np
import pytest
import scipy.signal
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from keras_gw_resnet import InputError
from keras_gw_resnet.simulation.injections import coalescence_times, detector_strain, inject
from keras_gw_resnet.simulation.populations import get_population
from keras_gw_resnet.simulation.sets import psds_of, segment_list
from keras_gw_resnet.strain.files import find_segments, read_segment
from tests.conftest import assert_refused, run_command

SIMULATE = ("-m", "keras_gw_resnet", "simulate", "set")


@given(st.integers(64, 200_000))
def test_segments_last_two_hours_and_more(duration):
    segments = segment_list(duration, 1000)
    assert sum(seconds for _, seconds in segments) == duration
    assert len(segments) == 1 or min(seconds for _, seconds in segments) >= 7200
    for (start, seconds), (after, _) in itertools.pairwise(segments):
        assert after == start + seconds + 64


@given(st.integers(0, 2**31), st.integers(64, 60_000))
def test_injections_keep_their_distances(seed, duration):
    segments = segment_list(duration)
    times = coalescence_times(np.random.default_rng(seed), segments)
    owner = [next(s for s in segments if s[0] + 30 <= t <= s[0] + s[1] - 30) for t in times]
    steps = np.diff(times)[[a == b for a, b in itertools.pairwise(owner)]]
    assert np.all((steps >= 24) & (steps <= 30.000001))


def test_injections_are_those_of_the_challenges_own_program(mlgwsc1_folder):
    with h5py.File(mlgwsc1_folder / "set3-injections.hdf") as file:
        theirs = {name: values[()] for name, values in file.items()}
    (foreground,), (background,) = (
        [h for h in find_segments(mlgwsc1_folder / f"set3-{name}.hdf") if h.detector == "L1"]
        for name in ("foreground", "background")
    )
    difference = read_segment(foreground).strain - read_segment(background).strain
    rows = [{name: values[i] for name, values in theirs.items()} for i in range(3)]
    ours = np.zeros_like(difference)
    inject(ours, background.gps_start, [detector_strain(row, get_population("set3"), "L1") for row in rows])
    for row in rows:
        at = round((row["tc"] - background.gps_start) * 2048)
        near = slice(at - 4096, at + 500)
        # What is left is the rotation of the Earth during the signal, the interpolation between samples, and the rounding of both
        # files to 1e-24.
        assert np.abs(ours[near] - difference[near]).max() < 0.02 * np.abs(difference[near]).max() + 1e-24


@pytest.fixture(scope="module")
def small_set(tmp_path_factory):
    folder = tmp_path_factory.mktemp("set") / "set1"
    command = (*SIMULATE, "--population", "set1", "--duration", 200, "--seed", 3, "--output", folder)
    result = run_command(*command)
    assert result.returncode == 0, result.stderr
    return folder


def test_a_set_has_the_challenges_layout(small_set, mlgwsc1_folder):
    assert sorted(p.name for p in small_set.iterdir()) == ["background.hdf", "foreground.hdf", "injections.hdf"]
    for name in ("foreground", "background", "injections"):
        with h5py.File(small_set / f"{name}.hdf") as ours, h5py.File(mlgwsc1_folder / f"set3-{name}.hdf") as theirs:
            if name == "injections":
                assert set(ours) == set(theirs)
                assert len({len(values) for values in ours.values()}) == 1
                continue
            assert set(ours) == set(theirs) == {"H1", "L1"}
            for own, other in zip(ours["H1"].values(), theirs["H1"].values(), strict=True):
                assert {"start_time", "delta_t"} <= set(own.attrs)
                assert own.dtype == other.dtype
                assert own.attrs["delta_t"] == other.attrs["delta_t"]


def test_the_foreground_is_the_background_with_signals(small_set):
    found = {}
    for name in ("foreground", "background"):
        headers = find_segments(small_set / f"{name}.hdf")
        assert [(h.detector, h.samples) for h in headers] == [("H1", 200 * 2048), ("L1", 200 * 2048)]
        found[name] = [read_segment(h).strain for h in headers]
    with h5py.File(small_set / "injections.hdf") as file:
        tc = file["tc"][()]
        assert not file["spin1_a"][()].any()
    assert len(tc) in (5, 6)
    for one, other in zip(found["foreground"], found["background"], strict=True):
        power = (one - other) ** 2
        start = 1238166018
        loudest = [
            start + (np.argmax(power[int((t - start - 2) * 2048) :][: 3 * 2048]) / 2048 + t - start - 2) for t in tc
        ]
        np.testing.assert_allclose(loudest, tc, atol=0.06)
    band = slice(120, 2000)
    psd = scipy.signal.welch(found["background"][0], 2048, nperseg=8192, average="median")[1]
    from keras_gw_resnet.simulation.psds import load_psd

    assert np.mean(psd[band] / load_psd("aLIGOZeroDetHighPower", 0.25, 1024)[band]) == pytest.approx(1, abs=0.03)


def test_a_set_is_reproducible(small_set, tmp_path):
    again = tmp_path / "again"
    command = (*SIMULATE, "--population", "set1", "--duration", 200, "--seed", 3, "--processes", 1, "--output", again)
    assert run_command(*command).returncode == 0
    with h5py.File(small_set / "foreground.hdf") as one, h5py.File(again / "foreground.hdf") as other:
        np.testing.assert_array_equal(one["L1/1238166018"][()], other["L1/1238166018"][()])


def test_psds_by_detector(tmp_path, psds_folder):
    found = psds_of([psds_folder], ("H1", "L1"))
    assert len(found["H1"]) == len(found["L1"]) == 20
    assert not set(found["H1"]) & set(found["L1"])
    with pytest.raises(InputError, match="no PSD files in a folder V1"):
        psds_of([psds_folder], ("H1", "V1"))
    with pytest.raises(InputError, match="unknown detector"):
        psds_of(["aLIGOZeroDetHighPower"], ("H1", "Q9"))


def test_sets_that_cannot_be(tmp_path):
    out = tmp_path / "out"
    (tmp_path / "bad.yaml").write_text("base: set3\nmass_range: [50, 7]\n")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "thesis.tex").touch()
    for options, mentioned in (
        (("--population", "set9", "--output", out), "set9"),
        (("--population", tmp_path / "bad.yaml", "--output", out), "mass_range is 50, 7"),
        (("--duration", 60, "--output", out), "--duration is 60 s; expected at least 64 s"),
        (("--psd", tmp_path, "--output", out), "holds no PSD files in a folder H1"),
        (("--output", tmp_path / "foreign", "--overwrite"), "holds thesis.tex"),
    ):
        assert_refused(run_command(*SIMULATE, *options), mentioned)
        assert not out.exists()
