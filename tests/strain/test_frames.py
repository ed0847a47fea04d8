"""Frames (GWF), written by gwpy with LALFrame and read with LALFrame."""

import numpy as np
import pytest

from keras_gw_resnet import InputError
from keras_gw_resnet.strain.files import find_segments, read_segment
from keras_gw_resnet.strain.intervals import read_interval

gwpy = pytest.importorskip("gwpy.timeseries", reason="GWPY ABSENT: make extras; this check did not run")
pytest.importorskip("lalframe")
RATE, START = 4096, 1_000_000_000


def write(path, names, seconds=8, start=START, dtype=np.float64):
    every = gwpy.TimeSeriesDict()
    for seed, name in enumerate(names):
        strain = (np.random.default_rng(seed).normal(size=seconds * RATE) * 1e-21).astype(dtype)
        every[name] = gwpy.TimeSeries(strain, sample_rate=RATE, t0=start, name=name, channel=name)
    every.write(str(path), format="gwf.lalframe")
    return every


def test_frames_are_strain_files(tmp_path):
    names = ["H1:GDS-CALIB_STRAIN", "H1:GDS-GATED", "L1:GDS-CALIB_STRAIN"]
    first = write(tmp_path / "H-A-1000000000-8.gwf", names)
    second = write(tmp_path / "H-A-1000000008-4.gwf", names, 4, START + 8, np.float32)
    headers = find_segments(tmp_path)
    assert [(h.detector, h.gps_start, h.samples) for h in headers] == [
        (d, float(s), n * RATE) for d in ("H1", "L1") for s, n in ((START, 8), (START + 8, 4))
    ]
    np.testing.assert_array_equal(read_segment(headers[0], 3, 700).strain, first[names[0]].value[3:700])
    strain, valid = read_interval(headers, "L1", START + 7, START + 9, RATE)
    assert valid.all()
    np.testing.assert_array_equal(strain[:RATE], first[names[2]].value[-RATE:])
    np.testing.assert_array_equal(strain[RATE:], second[names[2]].value[:RATE])
    chosen, _ = find_segments(tmp_path / "H-A-1000000000-8.gwf", channels={"H1": "H1:GDS-GATED"})
    np.testing.assert_array_equal(read_segment(chosen).strain, first["H1:GDS-GATED"].value)


def test_frames_that_are_damaged_cut_off_or_hold_no_strain(tmp_path):
    path = tmp_path / "H-A.gwf"
    write(path, ["H1:A_STRAIN"], 4)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for number in range(24):
        damaged = bytearray(whole[: rng.integers(len(whole))] if number % 2 else whole)
        for at in rng.integers(len(damaged), size=0 if number % 2 else 20):
            damaged[at] ^= 255
        (tmp_path / "bad.gwf").write_bytes(damaged)
        with pytest.raises(InputError, match=r"bad\.gwf: (was cut off|its checksum|cannot be read|is no frame)"):
            find_segments(tmp_path / "bad.gwf")
    header = find_segments(path)[0]
    write(path, ["H1:A_STRAIN"], 4, START + 100)
    with pytest.raises(InputError, match="has changed since"):
        read_segment(header)
    write(path, ["H1:A_STRAIN", "H1:B_STRAIN"], 4)
    with pytest.raises(InputError, match="several channels of H1: H1:A_STRAIN, H1:B_STRAIN; choose with --channel"):
        find_segments(path)
    with pytest.raises(InputError, match="has no channel H1:C of H1"):
        find_segments(path, channels=["H1=H1:C"])
    with pytest.raises(InputError, match="flags of frames are not read"):
        find_segments(path, ["CBC_CAT1"])
    write(path, ["X1:A_STRAIN"], 4)
    with pytest.raises(InputError, match="holds no channel of a detector"):
        find_segments(path)
