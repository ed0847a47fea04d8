import re

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_gw_resnet import InputError
from keras_gw_resnet.strain import intervals, stretches
from keras_gw_resnet.strain.conditioning import Whitening
from keras_gw_resnet.strain.files import find_segments
from keras_gw_resnet.strain.intervals import coincident_intervals
from keras_gw_resnet.strain.stretches import Coverage, whitened_stretches
from keras_gw_resnet.strain.writers import mlgwsc1_file, write_gwosc

SETTINGS = Whitening()
BOTH = ("H1", "L1")


def noise(seconds, seed=0, rate=2048):
    return np.random.default_rng(seed).normal(size=round(seconds * rate)) * 1e-21


def write(path, segments, rate=2048):
    with mlgwsc1_file(path, BOTH, rate) as add:
        for detector, start, strain in segments:
            add(detector, start, strain)
    return find_segments(path)


def test_spans_are_the_common_time_with_segments_joined(tmp_path):
    headers = write(
        tmp_path / "s.hdf",
        [("H1", 0, noise(10)), ("H1", 10, noise(10)), ("H1", 30, noise(10)), ("L1", 5, noise(30))],
    )
    assert [(s.start, s.stop) for s in coincident_intervals(headers, BOTH)] == [(5, 20), (30, 35)]
    with pytest.raises(InputError, match=r"no strain of V1 \(found H1, L1\)"):
        coincident_intervals(headers, ("H1", "V1"))


def test_detectors_without_common_time_are_named_with_their_times(tmp_path, capsys):
    from keras_gw_resnet import cli

    for detector, starts in {"H1": (100, 110), "L1": (200,), "V1": (100,)}.items():
        for start in starts:
            write_gwosc(tmp_path / f"{detector}-{start}.hdf5", detector, start, 2048, noise(10), "SIMULATED")
    message = "the strain of H1 and L1 has no time in common (H1 from GPS 100 to 120; L1 from GPS 200 to 210)"
    with pytest.raises(InputError, match=re.escape(message)) as error:
        coincident_intervals(find_segments(tmp_path), BOTH)
    assert "L1-200.hdf5: the strain" in str(error.value)
    assert "V1" not in str(error.value)
    output = tmp_path / "events.hdf"
    assert cli.main(["search", "resnet18-w16", str(tmp_path), "--output", str(output)]) == 2
    assert message in capsys.readouterr().err


def test_joined_segments_are_one_stretch(tmp_path):
    strain = noise(40)
    other = noise(40, 1)
    whole = write(tmp_path / "a.hdf", [("H1", 0, strain), ("L1", 0, other)])
    parts = write(tmp_path / "b.hdf", [("H1", 0, strain[:20480]), ("H1", 10, strain[20480:]), ("L1", 0, other)])
    (one,), (two,) = (list(whitened_stretches(h, BOTH, SETTINGS)) for h in (whole, parts))
    np.testing.assert_array_equal(one.strain, two.strain)
    assert one.gps_start == 2
    assert one.seconds == 36


@settings(max_examples=25, deadline=None)
@given(
    bad=st.lists(st.tuples(st.sampled_from(BOTH), st.integers(0, 60 * 2048 - 1), st.integers(1, 9000)), max_size=4),
    window=st.integers(1, 4096),
)
def test_no_window_ever_touches_an_invalid_sample(tmp_path_factory, bad, window):
    strain = {"H1": noise(60), "L1": noise(60, 1)}
    valid = np.ones(60 * 2048, bool)
    for detector, start, count in bad:
        strain[detector][start : start + count] = np.nan
        valid[start : start + count] = False
    headers = write(tmp_path_factory.mktemp("gaps") / "s.hdf", [(d, 100, s) for d, s in strain.items()])
    coverage = Coverage()
    edge = SETTINGS.edge_samples
    for stretch in whitened_stretches(headers, BOTH, SETTINGS, window_samples=window, coverage=coverage):
        first = round((stretch.gps_start - 100) * 2048)
        assert np.all(np.isfinite(stretch.strain))
        assert len(stretch.strain) >= window
        assert valid[first - edge : first + len(stretch.strain) + edge].all()
    assert coverage.invalid == pytest.approx(np.count_nonzero(~valid) / 2048)
    assert coverage.given == 60
    assert coverage.whitened + coverage.short + coverage.invalid == pytest.approx(60)


def steep(seconds, rate, seed=0):
    """Strain as detectors give it: five decades louder at 10 Hz than at 100 Hz."""
    white = np.fft.rfft(np.random.default_rng(seed).normal(size=seconds * rate)) * np.sqrt(rate / 2048)
    frequency = np.fft.rfftfreq(seconds * rate, 1 / rate)
    return np.fft.irfft(white * 1e-21 * (1 + (np.maximum(frequency, 5) / 100) ** -5))


@pytest.mark.parametrize("rate", [2048, 4096, 16384])
def test_files_that_follow_each_other_are_one_stretch(tmp_path, rate):
    for name in ("whole", "split"):
        (tmp_path / name).mkdir()
    for index, detector in enumerate(BOTH):
        strain = steep(40, rate, index)
        write_gwosc(tmp_path / "whole" / f"{detector}.hdf5", detector, 0, rate, strain, "SIMULATED")
        for start, stop in ((0, 12), (12, 25), (25, 40)):
            path = tmp_path / "split" / f"{detector}-{start}.hdf5"
            write_gwosc(path, detector, start, rate, strain[start * rate : stop * rate], "SIMULATED")
    (whole,) = whitened_stretches(find_segments(tmp_path / "whole"), BOTH, SETTINGS)
    (split,) = whitened_stretches(find_segments(tmp_path / "split"), BOTH, SETTINGS)
    np.testing.assert_allclose(split.strain, whole.strain, atol=1e-6)
    assert np.abs(split.strain).max() < 7


def test_real_files_that_follow_each_other_are_one_stretch(tmp_path, gw150914_files):
    from keras_gw_resnet.strain.files import read_segment

    headers = find_segments(gw150914_files)
    for header in headers:
        strain = read_segment(header).strain
        for start, stop in ((0, 12), (12, 32)):
            gps = round(header.gps_start) + start
            path = tmp_path / f"{header.detector}-{start}.hdf5"
            write_gwosc(path, header.detector, gps, 4096, strain[start * 4096 : stop * 4096], "measured")
    (whole,) = whitened_stretches(headers, BOTH, SETTINGS)
    (split,) = whitened_stretches(find_segments(tmp_path), BOTH, SETTINGS)
    np.testing.assert_allclose(split.strain, whole.strain, atol=1e-6)


def test_where_the_sample_rate_changes_nothing_violent_is_left(tmp_path):
    for index, detector in enumerate(BOTH):
        for start, rate in ((0, 4096), (20, 2048), (40, 16384)):
            path = tmp_path / f"{detector}-{start}.hdf5"
            write_gwosc(path, detector, start, rate, steep(20, rate, index + start), "SIMULATED")
    found = list(whitened_stretches(find_segments(tmp_path), BOTH, SETTINGS))
    assert len(found) == 3
    assert max(np.abs(stretch.strain).max() for stretch in found) < 7


@pytest.mark.parametrize("rate", [4096, 16384])
def test_pieces_are_those_of_the_whole(tmp_path, monkeypatch, rate):
    strain = {d: noise(40, i, rate) for i, d in enumerate(BOTH)}
    strain["L1"][20 * rate + 100] = np.nan
    for detector, values in strain.items():
        write_gwosc(tmp_path / f"{detector}.hdf5", detector, 0, rate, values, "SIMULATED")
    headers = find_segments(tmp_path)
    whole = list(whitened_stretches(headers, BOTH, SETTINGS))
    monkeypatch.setattr(intervals, "PIECE_SECONDS", 3)
    pieces = list(whitened_stretches(headers, BOTH, SETTINGS))
    assert [p.gps_start for p in pieces] == [w.gps_start for w in whole]
    for piece, one in zip(pieces, whole, strict=True):
        np.testing.assert_allclose(piece.strain, one.strain, atol=1e-5)


def test_missing_seconds_of_a_4_khz_file_stay_out(tmp_path):
    strain = {"H1": noise(40, 0, 4096), "L1": noise(40, 1, 4096)}
    strain["L1"][20 * 4096 + 100] = np.nan
    for detector, values in strain.items():
        write_gwosc(tmp_path / f"{detector}.hdf5", detector, 0, 4096, values, "SIMULATED")
    coverage = Coverage()
    found = list(whitened_stretches(find_segments(tmp_path), BOTH, SETTINGS, coverage=coverage))
    assert len(found) == 2
    assert found[0].gps_start + found[0].seconds + 2 <= 20
    assert found[1].gps_start - 2 >= 21
    assert coverage.invalid == pytest.approx(1, abs=0.05)
    assert all(np.abs(s.strain).max() < 7 for s in found)


def test_short_segments_share_their_noise_spectrum(tmp_path):
    pieces = [
        (d, 1000 * far + 8 * i, noise(7.5, i + 50 * (d == "L1"))) for d in BOTH for far in (0, 1) for i in range(8)
    ]
    coverage = Coverage()
    found = list(whitened_stretches(write(tmp_path / "s.hdf", pieces), BOTH, SETTINGS, coverage=coverage))
    assert [s.gps_start for s in found] == [1000 * far + 8 * i + 2 for far in (0, 1) for i in range(8)]
    assert np.concatenate([s.strain for s in found]).std() == pytest.approx(1, abs=0.05)
    assert (coverage.given, coverage.whitened, coverage.invalid) == (120, 120, 0)
    lonely = write(tmp_path / "t.hdf", [(d, 0, noise(15)) for d in BOTH])
    assert list(whitened_stretches(lonely, BOTH, SETTINGS, coverage=coverage)) == []
    assert coverage.short == 15


def test_chunks_hold_every_window_once(tmp_path, monkeypatch):
    headers = write(tmp_path / "s.hdf", [("H1", 0, noise(120)), ("L1", 0, noise(120, 1))])
    monkeypatch.setattr(stretches, "CHUNK_SECONDS", 40)
    window, coverage = 2048, Coverage()
    starts = []
    for stretch in whitened_stretches(headers, BOTH, SETTINGS, window_samples=window, coverage=coverage):
        first = round(stretch.gps_start * 2048)
        starts.extend(range(first, first + len(stretch.strain) - window + 1))
    edge = SETTINGS.edge_samples
    assert starts == list(range(edge, 120 * 2048 - edge - window + 1))
    assert coverage.whitened == pytest.approx(120)


def test_clocks_off_the_grid_and_slow_sampling_are_refused(tmp_path):
    with mlgwsc1_file(tmp_path / "a.hdf", BOTH, 2048) as add:
        add("H1", 0, noise(20))
        add("L1", 0, noise(20))
    headers = find_segments(tmp_path / "a.hdf")
    from dataclasses import replace

    shifted = [headers[0], replace(headers[1], gps_start=0.0001)]
    with pytest.raises(InputError, match=r"a\.hdf: H1 and L1 sampled off the grid.*H1 at GPS 0, L1 at GPS 0.0001$"):
        list(whitened_stretches(shifted, BOTH, SETTINGS))
    slow = write(tmp_path / "b.hdf", [("H1", 0, noise(20, rate=1024)), ("L1", 0, noise(20, rate=1024))], rate=1024)
    with pytest.raises(InputError, match=r"b\.hdf: H1 is sampled at 1024 Hz"):
        list(whitened_stretches(slow, BOTH, SETTINGS))


@pytest.mark.parametrize("odd", ["H1", "L1", "V1"])
@pytest.mark.parametrize("late", [0.0001, -0.0001])
def test_the_detector_off_the_grid_of_the_others_is_named(tmp_path, odd, late):
    detectors = ("H1", "L1", "V1")
    for detector in (*detectors, "K1"):
        seconds = 10 if detector == odd else 20
        for start in range(100, 120, seconds):
            path = tmp_path / f"{detector}-{start}.hdf5"
            write_gwosc(path, detector, start, 4096, noise(seconds, rate=4096), "SIMULATED")
            with h5py.File(path, "r+") as file:
                file["strain/Strain"].attrs["Xstart"] = start + (late if detector in (odd, "K1") else 0)
    with pytest.raises(InputError, match="sampled off the grid") as error:
        list(whitened_stretches(find_segments(tmp_path), detectors, SETTINGS))
    files = f"{tmp_path / odd}-100.hdf5, {tmp_path / odd}-110.hdf5"
    assert str(error.value).startswith(f"{files}: {odd} sampled off the grid")


@pytest.mark.slow
def test_memory_stays_below_a_gigabyte_for_any_length(tmp_path):
    from tests.conftest import run_command

    rate, seconds = 16384, 8192
    with h5py.File(tmp_path / "long.hdf", "w") as file:
        for detector in BOTH:
            strain = file.create_dataset(f"{detector}/0", (rate * seconds,), "f4")
            strain.attrs.update(start_time=0.0, delta_t=1 / rate)
            for second in range(0, seconds, 64):
                strain[second * rate : (second + 64) * rate] = noise(64, second, rate) * 1e21
    code = (
        "import sys\n"
        "from keras_gw_resnet.strain.conditioning import Whitening\n"
        "from keras_gw_resnet.strain.files import find_segments\n"
        "from keras_gw_resnet.strain.stretches import whitened_stretches\n"
        "stretches = whitened_stretches(find_segments(sys.argv[1]), ('H1', 'L1'), Whitening())\n"
        "seconds = sum(s.seconds for s in stretches)\n"
        # The kernel's own count; getrusage would count the process that started this one too.
        "peak = next(line for line in open('/proc/self/status') if line.startswith('VmHWM'))\n"
        "print(seconds, int(peak.split()[1]) / 1e6)\n"
    )
    result = run_command("-c", code, tmp_path / "long.hdf")
    whitened, gigabytes = map(float, result.stdout.split())
    assert whitened == pytest.approx(seconds, abs=10)
    assert gigabytes < 1
