import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_gw_resnet import InputError
from keras_gw_resnet.simulation.real_noise import RealNoise, _share
from keras_gw_resnet.strain.catalogue import (
    catalogue_events,
    known_events,
    left_out_intervals,
    read_times,
    without_events,
)
from keras_gw_resnet.strain.files import SegmentHeader, find_segments
from keras_gw_resnet.strain.intervals import Interval
from tests.conftest import assert_refused, run_command, run_commands, shared

SIMULATE = ("-m", "keras_gw_resnet", "simulate", "set")
REAL = ("GW150914", "GW170121", "GW190421_213856", "GW191109_010717")


@pytest.fixture(scope="module")
def real_files():
    return [shared("real", f"{name}.hdf") for name in REAL]


@pytest.fixture(scope="module")
def real_set(real_files, tmp_path_factory):
    folder = tmp_path_factory.mktemp("real") / "set"
    command = (*SIMULATE, "--noise", *real_files, "--duration", 120, "--seed", 3, "--processes", 1, "--output", folder)
    result = run_command(*command)
    assert result.returncode == 0, result.stderr
    assert "120 s of measured noise" in result.stdout
    assert "at most" in result.stdout and "GW150914" in result.stdout
    return folder


def test_the_catalogue_knows_the_events_of_the_shared_strain():
    times = {name: time for time, name in catalogue_events()}
    assert len(times) == len(catalogue_events()) > 300
    for path in sorted(shared("real").glob("*.hdf")):
        with h5py.File(path) as file:
            assert abs(times[path.stem] - file.attrs["event_gps"]) <= 0.51, path.stem


@given(st.floats(0, 3000), st.floats(1, 3000), st.lists(st.floats(0, 6000), max_size=5))
def test_what_is_left_of_an_interval_is_without_events(start, seconds, events):
    base = 1_150_000_000.0  # no catalogue event within hours
    (interval,) = [Interval(base + start, base + start + seconds)]
    times = [base + t for t in events]
    left = without_events([interval], times)
    points = np.linspace(interval.start, interval.stop, 200, endpoint=False)
    free = np.all([np.abs(points - t) > 4.001 for t in times], axis=0) if times else np.ones(200, bool)
    near = np.any([np.abs(points - t) < 3.999 for t in times], axis=0) if times else np.zeros(200, bool)
    kept = np.any([(points >= i.start) & (points < i.stop) for i in left], axis=0) if left else np.zeros(200, bool)
    assert np.all(kept[free]) and not np.any(kept[near])


def test_times_to_leave_out_are_read(tmp_path):
    (tmp_path / "times.txt").write_text("# mine\n1126259462.4 GW150914\n\n1128678900,x\n")
    assert read_times(["1000000000.5", tmp_path / "times.txt"]) == [1000000000.5, 1126259462.4, 1128678900.0]
    for text, mentioned in (("a b\n", "could not convert"), ("nan\n", "not finite")):
        (tmp_path / "bad.txt").write_text(text)
        with pytest.raises(InputError, match=mentioned):
            read_times([tmp_path / "bad.txt"])
    with pytest.raises(InputError, match="cannot be read"):
        read_times([tmp_path / "none.txt"])


def test_a_set_in_real_noise_is_slid_and_without_catalogue_events(real_set, real_files):
    headers = find_segments(real_files)
    left_out, used = left_out_intervals(), {}
    with h5py.File(real_set / "background.hdf") as background, h5py.File(real_set / "foreground.hdf") as foreground:
        assert background.attrs["noise"] == "measured"
        starts = sorted(background["H1"])
        assert starts == sorted(background["L1"]) == sorted(foreground["L1"])
        for start in starts:
            one = {d: background[d][start].attrs["source_start"] for d in ("H1", "L1")}
            assert abs(one["H1"] - one["L1"]) >= 8
            for d in ("H1", "L1"):
                dataset = background[d][start]
                assert dataset.attrs["slide"] >= 1
                begin, end = dataset.attrs["source_start"], dataset.attrs["source_stop"]
                assert end - begin == len(dataset) / 2048 >= 32
                assert not np.any((left_out[:, 1] > begin) & (left_out[:, 0] < end))
                assert known_events(begin, end, 3.9) == []
                (header,) = [h for h in headers if h.detector == d and h.gps_start <= begin and end <= h.gps_stop]
                with h5py.File(header.path) as file:
                    first = round((begin - header.gps_start) * 2048)
                    np.testing.assert_array_equal(dataset[:], file[header.dataset][first : first + len(dataset)])
                used.setdefault(d, []).append((begin, end))
        for d, intervals in used.items():
            assert background.attrs[f"noise_seconds_{d}"] <= sum(b - a for a, b in intervals)
        with h5py.File(real_set / "injections.hdf") as file:
            times = file["tc"][:]
        assert len(times) >= 2
        for time in times:
            own = [s for s in starts if int(s) + 10 <= time <= int(s) + len(background["H1"][s]) / 2048 - 10]
            assert len(own) == 1
        near = np.abs(foreground["H1"][own[0]][:] - background["H1"][own[0]][:])
        assert np.argmax(near) / 2048 + int(own[0]) == pytest.approx(time, abs=0.2)


@pytest.mark.slow
def test_two_sets_of_one_seed_are_equal_to_the_bit(real_set, real_files, tmp_path):
    again = tmp_path / "again"
    command = (*SIMULATE, "--noise", *real_files, "--duration", 120, "--seed", 3, "--processes", 2, "--output", again)
    assert run_command(*command).returncode == 0
    for name in ("foreground", "background", "injections"):
        with h5py.File(real_set / f"{name}.hdf") as one, h5py.File(again / f"{name}.hdf") as other:
            found = []
            one.visititems(lambda key, entry, found=found: found.append(key) if hasattr(entry, "shape") else None)
            for key in found:
                np.testing.assert_array_equal(one[key][()], other[key][()])
                assert dict(one[key].attrs) == dict(other[key].attrs)


def test_the_plan_of_a_set_is_that_of_its_seed(real_files):
    one, other, third = (
        RealNoise(find_segments(real_files), ("H1", "L1"), 2048).plan(900, np.random.default_rng(seed), 1_000_000_000)
        for seed in (3, 3, 4)
    )
    assert one == other != third
    assert sum(segment.seconds for segment in one) == 900


@given(st.integers(64, 5000), st.integers(60, 200), st.randoms())
def test_segments_share_the_seconds_wanted(rest, longest, chance):
    while rest:
        own = _share(rest, min(rest, chance.randint(48, longest)))
        assert own == 0 or 32 <= own <= rest
        rest -= own


def test_months_of_strain_are_cut_into_long_pieces():
    """By the headers alone, as 'fetch' leaves them: nothing is read before it is used."""
    start, seconds = 1_150_000_000, 30 * 86400
    headers = [
        SegmentHeader(f"{d}-{i}.hdf", "strain/Strain", d, start + i * 4096.0, 4096.0, 4096 * 4096)
        for d in ("H1", "L1")
        for i in range(seconds // 4096)
    ]
    noise = RealNoise(headers, ("H1", "L1"), 2048)
    for pieces in noise.pieces.values():
        lengths = [p.stop - p.start for p in pieces]
        assert max(lengths) <= 7200 and min(lengths) > 7000
        assert sum(lengths) == pytest.approx(seconds // 4096 * 4096, abs=len(lengths) + 4)


def test_sets_in_real_noise_that_cannot_be(tmp_path, real_files):
    out = tmp_path / "out"
    cases = (
        (
            ("--noise", real_files[0], "--duration", "10h"),
            ("too short for a set of 36000 s", "in 1 slide, all that there are", "GW150914"),
        ),
        (("--noise", real_files[0], "--psd", "aLIGOZeroDetHighPower"), ("leave out --psd",)),
        (("--leave-out", "1e9"), ("give --noise too",)),
        (("--noise", real_files[0], "--leave-out", tmp_path / "none"), ("none", "cannot be read")),
        (("--noise", tmp_path / "none.hdf"), ("no such file",)),
        (("--noise", real_files[0], "--detectors", "H1", "V1"), ("no strain of V1",)),
        (("--glitch-rate", "H1=1"), ("give --glitches too",)),
        (("--glitches", real_files[0]), ("is no glitch bank",)),
    )
    commands = [("simulate", "set", *options, "--output", out) for options, _ in cases]
    for (_, mentioned), result in zip(cases, run_commands(commands), strict=True):
        assert_refused(result, *mentioned)
    assert not out.exists()
