import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_gw_resnet import InputError
from keras_gw_resnet.strain.files import find_segments, read_segment
from keras_gw_resnet.strain.writers import mlgwsc1_file, write_gwosc


def write_segments(path, segments, rate=2048):
    with mlgwsc1_file(path, ["H1", "L1"], rate) as add:
        for detector, start, strain in segments:
            add(detector, start, strain)


def test_real_gwosc_pair(gw150914_files):
    headers = find_segments(gw150914_files)
    assert [(h.detector, h.gps_start, h.sample_rate, h.samples) for h in headers] == [
        ("H1", 1126259446.0, 4096.0, 131072),
        ("L1", 1126259446.0, 4096.0, 131072),
    ]
    segment = read_segment(headers[0])
    assert segment.strain.dtype == np.float64
    assert segment.valid.all()
    assert segment.strain[0] == pytest.approx(2.17704028e-19, rel=1e-8)
    part = read_segment(headers[0], 100, 200)
    np.testing.assert_array_equal(part.strain, segment.strain[100:200])
    assert part.gps_start == 1126259446 + 100 / 4096


def test_real_challenge_file(mlgwsc1_folder):
    headers = find_segments(mlgwsc1_folder / "set3-background.hdf")
    assert [(h.detector, h.gps_start, h.sample_rate, h.samples) for h in headers] == [
        ("H1", 1238205077.0, 2048.0, 1228800),
        ("L1", 1238205077.0, 2048.0, 1228800),
    ]


def test_folder_passes_over_files_without_strain(small_data):
    headers = find_segments(small_data)
    assert {h.path for h in headers} == {str(small_data / "noise.hdf")}
    assert len(headers) == 4


def test_pattern(tmp_path):
    for start in (0, 100):
        write_segments(tmp_path / f"s{start}.hdf", [("H1", start, np.ones(2048))])
    assert len(find_segments(str(tmp_path / "s*.hdf"))) == 2
    with pytest.raises(InputError, match="matches no file"):
        find_segments(str(tmp_path / "t*.hdf"))


def test_gwosc_without_data_is_invalid(tmp_path):
    strain = np.random.default_rng(0).normal(size=4096 * 4)
    strain[4096 + 5] = np.nan
    write_gwosc(tmp_path / "a.hdf5", "H1", 10, 4096, strain, "SIMULATED")
    (header,) = find_segments(tmp_path / "a.hdf5")
    assert header.present == (True, False, True, True)
    valid = read_segment(header).valid
    np.testing.assert_array_equal(valid.reshape(4, 4096).all(axis=1), [True, False, True, True])
    assert not valid[4096:8192].any()
    assert not read_segment(header, 8000, 9000).valid[:192].any()


def assert_is_segment(path, detector, strain, *, start=1e9, rate=2048):
    (header,) = find_segments(path)
    assert (header.detector, header.gps_start, header.sample_rate) == (detector, start, rate)
    np.testing.assert_array_equal(read_segment(header).strain, strain)


def test_files_that_pycbc_wrote(tmp_path):
    from pycbc.types import TimeSeries

    strain = np.random.default_rng(0).normal(size=4096)
    series = TimeSeries(strain, delta_t=1 / 2048, epoch=1e9)
    series.save(str(tmp_path / "H1-strain.hdf"))
    series.save(str(tmp_path / "any.hdf"), group="L1")
    series.save(str(tmp_path / "deep.hdf"), group="cleaned/V1/strain")
    assert_is_segment(tmp_path / "H1-strain.hdf", "H1", strain)
    assert_is_segment(tmp_path / "any.hdf", "L1", strain)
    assert_is_segment(tmp_path / "deep.hdf", "V1", strain)
    series.save(str(tmp_path / "nameless.hdf"))
    with pytest.raises(InputError, match=r"data does not say its detector; name the file.*H1-nameless\.hdf"):
        find_segments(tmp_path / "nameless.hdf")


def test_files_that_gwpy_wrote(tmp_path):
    reason = "GWPY ABSENT: 'make extras' installs it; this check did not run"
    gwpy = pytest.importorskip("gwpy.timeseries", reason=reason)
    strain = np.random.default_rng(0).normal(size=4096)
    channel = {"name": "H1:GDS-CALIB_STRAIN", "channel": "H1:GDS-CALIB_STRAIN"}
    known = gwpy.TimeSeries(strain, t0=1e9, sample_rate=2048, unit="strain", **channel)
    known.write(tmp_path / "known.hdf5")
    gwpy.TimeSeries(strain, t0=1e9, sample_rate=2048).write(tmp_path / "L1.h5", path="strain", format="hdf5")
    assert_is_segment(tmp_path / "known.hdf5", "H1", strain)
    assert_is_segment(tmp_path / "L1.h5", "L1", strain)
    gwpy.TimeSeriesDict({"a": known, "V1:b": gwpy.TimeSeries(strain, t0=1e9, sample_rate=2048)}).write(
        tmp_path / "both.hdf5"
    )
    assert [h.detector for h in find_segments(tmp_path / "both.hdf5")] == ["H1", "V1"]


GWOSC = {
    "strain": np.random.default_rng(0).normal(size=4 * 4096),
    "start": 100.0,
    "spacing": 1 / 4096,
    "mask": np.ones(4, np.uint32),
    "names": np.array(["DATA"], dtype="S4"),
}


def write_gwosc_layout(path, **changes):
    parts = {**GWOSC, **changes}
    with h5py.File(path, "w") as file:
        file["strain/Strain"] = parts["strain"]
        file["strain/Strain"].attrs.update(Xstart=parts["start"], Xspacing=parts["spacing"])
        file["meta/Detector"] = "H1"
        file["quality/simple/DQmask"] = parts["mask"]
        file["quality/simple/DQShortnames"] = parts["names"]
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strain": np.ones((4, 4096))}, "one-dimensional series of real numbers"),
        ({"strain": "strain"}, "one-dimensional series of real numbers"),
        ({"strain": 1.0}, "one-dimensional series of real numbers"),
        ({"strain": np.ones(4 * 4096, complex)}, "one-dimensional series of real numbers"),
        ({"mask": np.ones(0, np.uint32)}, "expected 4 integers"),
        ({"mask": np.ones(3, np.uint32)}, "expected 4 integers"),
        ({"mask": np.uint32(1)}, "expected 4 integers"),
        ({"mask": np.ones(4)}, "expected 4 integers"),
        ({"names": "DATA"}, "no list of names"),
        ({"start": np.nan}, "expected a finite time"),
        ({"start": "soon"}, "expected one number"),
        ({"spacing": -1.0}, "unknown sample rate"),
        ({"spacing": [1.0, 2.0]}, "expected one number"),
    ],
)
def test_malformed_gwosc_file_is_named(tmp_path, changes, message):
    assert len(find_segments(write_gwosc_layout(tmp_path / "good.hdf5"))) == 1
    path = write_gwosc_layout(tmp_path / "bad.hdf5", **changes)
    with pytest.raises(InputError, match=message) as error:
        find_segments(path)
    assert str(error.value).startswith(str(path))


def test_seconds_without_the_wanted_flags_are_invalid(tmp_path):
    names = np.array(["DATA", "CBC_CAT1", "CBC_CAT2"], dtype="S8")
    path = write_gwosc_layout(tmp_path / "a.hdf5", mask=np.array([7, 3, 5, 6], np.uint32), names=names)
    with h5py.File(path, "r+") as file:
        file["quality/injections/Injmask"] = np.array([1, 1, 1, 0], np.uint32)
        file["quality/injections/InjShortnames"] = np.array(["NO_CBC_HW_INJ"], dtype="S13")
    present = {
        (): (True, True, True, False),
        ("CBC_CAT1",): (True, True, False, False),
        ("CBC_CAT1", "CBC_CAT2"): (True, False, False, False),
        ("NO_CBC_HW_INJ",): (True, True, True, False),
    }
    for quality, expected in present.items():
        assert find_segments(path, quality)[0].present == expected
    with pytest.raises(InputError, match="no data-quality flag BURST_CAT1; it has DATA, CBC_CAT1, CBC_CAT2, NO_CBC"):
        find_segments(path, ("BURST_CAT1",))
    # In S5 a set bit says that there is an injection.
    with h5py.File(path, "r+") as file:
        del file["quality/injections/InjShortnames"]
        file["quality/injections/InjShortnames"] = np.array(["HW_CBC"], dtype="S6")
    assert find_segments(path, ("NO_CBC_HW_INJ",))[0].present == (False, False, False, False)


def test_flags_cannot_be_asked_of_files_without(tmp_path):
    write_segments(tmp_path / "a.hdf", [("H1", 0, np.ones(4096))])
    with pytest.raises(InputError, match=r"a\.hdf: has no data-quality flags; CBC_CAT1 can be asked of GWOSC"):
        find_segments(tmp_path / "a.hdf", ("CBC_CAT1",))


def test_real_flags(gw150914_files):
    headers = find_segments(gw150914_files, ("CBC_CAT1", "CBC_CAT3", "NO_CBC_HW_INJ"))
    assert all(h.present is None for h in headers)


@pytest.mark.parametrize("strain", [1.0, "strain", np.ones((2, 9)), np.ones(9, complex)])
def test_malformed_challenge_file_is_named(tmp_path, strain):
    with h5py.File(tmp_path / "bad.hdf", "w") as file:
        file["H1/0"] = strain
        file["H1/0"].attrs.update(start_time=0.0, delta_t=1 / 2048)
    with pytest.raises(InputError, match=r"bad\.hdf.*real numbers"):
        find_segments(tmp_path / "bad.hdf")


def test_stuck_and_absurd_samples_are_invalid(tmp_path):
    strain = np.random.default_rng(0).normal(size=4 * 2048)
    strain[1000:1003] = strain[1000]
    strain[2048:3072] = 0.0
    strain[5000] = 1e300
    strain[6000] = np.inf
    write_segments(tmp_path / "a.hdf", [("H1", 0, strain)])
    valid = read_segment(find_segments(tmp_path / "a.hdf")[0]).valid
    assert not valid[2048:3072].any()
    np.testing.assert_array_equal(np.flatnonzero(~valid), [*range(2048, 3072), 5000, 6000])


@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=4),
    st.integers(0, 60),
    st.integers(0, 60),
)
def test_any_part_of_any_segment_comes_back(tmp_path_factory, lengths, first, count):
    path = tmp_path_factory.mktemp("segments") / "s.hdf"
    rng = np.random.default_rng(0)
    pieces = [rng.normal(size=n) for n in lengths]
    starts = np.cumsum([0, *(n + 5 for n in lengths)])[:-1]
    write_segments(path, [("H1", int(s), p) for s, p in zip(starts, pieces, strict=True)], rate=1)
    headers = find_segments(path)
    assert [h.gps_start for h in headers] == list(starts)
    for header, piece in zip(headers, pieces, strict=True):
        segment = read_segment(header, first, first + count)
        np.testing.assert_array_equal(segment.strain, piece[first : first + count])
        assert segment.gps_start == header.gps_start + first


def test_bad_files(tmp_path):
    good = tmp_path / "good.hdf"
    write_segments(good, [("H1", 0, np.random.default_rng(0).normal(size=50000))])
    (tmp_path / "cut.hdf").write_bytes(good.read_bytes()[:-20000])
    (tmp_path / "text.hdf").write_text("no HDF5 at all")
    (tmp_path / "empty.hdf").touch()
    with h5py.File(tmp_path / "other.hdf", "w") as file:
        file["something"] = 1
    with h5py.File(tmp_path / "norate.hdf", "w") as file:
        file["H1/0"] = np.ones(5)
    with h5py.File(tmp_path / "flat.hdf", "w") as file:
        file["H1/0"] = np.ones((5, 5))
    with h5py.File(tmp_path / "halfgwosc.hdf", "w") as file:
        file["strain/Strain"] = np.ones(5)
    (tmp_path / "emptyfolder").mkdir()
    for name, message in {
        "missing.hdf": "no such file",
        "cut.hdf": "truncated or damaged",
        "text.hdf": "no HDF5",
        "empty.hdf": "no HDF5",
        "other.hdf": "no strain in a known layout",
        "norate.hdf": "unknown sample rate",
        "flat.hdf": "one-dimensional series of real numbers",
        "halfgwosc.hdf": "lacks Xstart, Xspacing, meta/Detector",
        "emptyfolder": "no strain file",
    }.items():
        with pytest.raises(InputError, match=message) as error:
            find_segments(tmp_path / name)
        assert name in str(error.value)


def test_damaged_data_are_named(tmp_path):
    path = tmp_path / "damaged.hdf"
    write_segments(path, [("H1", 0, np.random.default_rng(0).normal(size=50000))])
    header = find_segments(path)[0]
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(bytes(50000))
    with pytest.raises(InputError, match=r"damaged\.hdf"):
        read_segment(header)


def test_overlapping_segments_are_refused(tmp_path):
    write_segments(tmp_path / "a.hdf", [("H1", 0, np.ones(20480))])
    write_segments(tmp_path / "b.hdf", [("H1", 9, np.ones(20480))])
    with pytest.raises(InputError, match="overlaps"):
        find_segments([tmp_path / "a.hdf", tmp_path / "b.hdf"])
