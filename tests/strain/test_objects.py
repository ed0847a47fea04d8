"""Strain that is in memory: cut and said, or one clear error."""

from pathlib import Path

import numpy as np
import pytest

from keras_gw_resnet import InputError, find_segments, preprocess_input
from keras_gw_resnet.strain.conditioning import Whitening
from keras_gw_resnet.strain.files import read_segment
from keras_gw_resnet.strain.stretches import whitened_stretches

RATE, START = 2048, 1_000_000_000.0


def noise(seconds=20, seed=0, rate=RATE):
    return np.random.default_rng(seed).normal(size=round(seconds * rate)) * 1e-21


class PyCBCLike:
    """What PyCBC's TimeSeries offers."""

    def __init__(self, strain, start=START, rate=RATE):
        self._strain, self.start_time, self.delta_t, self.dtype = strain, start, 1 / rate, strain.dtype

    def numpy(self):
        return self._strain


def arrays(**own):
    return {"H1": noise(seed=1), "L1": noise(seed=2), **own}


def test_series_arrays_and_both_packages_give_the_same_segments():
    plain = find_segments(arrays(), sample_rate=RATE, gps_start=START)
    assert [(h.detector, h.gps_start, h.sample_rate, h.samples) for h in plain] == [
        ("H1", START, RATE, 20 * RATE),
        ("L1", START, RATE, 20 * RATE),
    ]
    like = find_segments({name: PyCBCLike(strain) for name, strain in arrays().items()})
    gwpy = pytest.importorskip("gwpy.timeseries", reason="GWPY ABSENT: make extras; this check did not run")
    series = {
        f"{name}:GDS-CALIB_STRAIN": gwpy.TimeSeries(strain, sample_rate=RATE, t0=START, unit="strain")
        for name, strain in arrays().items()
    }
    pycbc = pytest.importorskip("pycbc.types").TimeSeries
    own = {name: pycbc(strain, delta_t=1 / RATE, epoch=START) for name, strain in arrays().items()}
    for found in (like, find_segments(gwpy.TimeSeriesDict(series)), find_segments(own)):
        assert [h.gps_start for h in found] == [START, START]
        for one, other in zip(found, plain, strict=True):
            np.testing.assert_array_equal(read_segment(one, 5, 500).strain, read_segment(other, 5, 500).strain)
    # A series of one detector says it by its name, and goes with a file or another series in a list.
    named = [gwpy.TimeSeries(s, sample_rate=RATE, t0=START, name=f"{n}:STRAIN") for n, s in arrays().items()]
    assert [h.detector for h in find_segments(named)] == ["H1", "L1"]


def test_units_byte_order_and_masks():
    units = pytest.importorskip("astropy.units")
    masked = np.ma.MaskedArray(noise(seed=1).astype(">f8"), mask=False)
    masked[100:5000] = np.ma.masked
    given = {"H1": masked, "L1": units.Quantity(100 * noise(seed=2), "percent")}
    h1, l1 = find_segments(given, sample_rate=RATE * units.Hz, gps_start=START * units.s)
    one, other = read_segment(h1), read_segment(l1)
    assert one.strain.dtype == np.float64 and one.strain.dtype.isnative
    assert np.flatnonzero(~one.valid).tolist() == list(range(100, 5000))
    np.testing.assert_array_equal(one.strain[5000:], noise(seed=1)[5000:])
    np.testing.assert_allclose(other.strain, noise(seed=2), rtol=1e-14)


def test_a_list_of_numbers_is_one_series():
    (header,) = find_segments({"H1": list(noise())}, sample_rate=RATE, gps_start=START)
    np.testing.assert_array_equal(read_segment(header).strain, noise())


def test_gaps_and_other_epochs_are_cut():
    late = PyCBCLike(noise(40, 2), START + 3)
    early = [PyCBCLike(noise(30, 1)), PyCBCLike(noise(5, 3), START + 31)]
    (first, second) = whitened_stretches(find_segments({"H1": early, "L1": late}), ("H1", "L1"), Whitening())
    # Half a filter is lost at either end: GPS 3 to 30, and 31 to 36.
    assert (first.gps_start - START, first.seconds) == (5.0, 23.0)
    assert (second.gps_start - START, second.seconds) == (33.0, 1.0)


def test_preprocess_input_takes_series_in_the_order_of_the_detectors():
    given = arrays()
    whole = preprocess_input(np.stack(list(given.values()), axis=-1), RATE)
    turned = {name: given[name] for name in ("L1", "H1")}
    np.testing.assert_array_equal(preprocess_input(turned, RATE), whole)
    np.testing.assert_array_equal(preprocess_input(turned, RATE, gps_start=1126259446.5), whole)
    np.testing.assert_array_equal(preprocess_input({n: PyCBCLike(s) for n, s in turned.items()}), whole)
    faster = preprocess_input({**arrays(), "L1": PyCBCLike(noise(20, 2, 4096), 0.0, 4096)}, RATE)
    assert faster.shape == whole.shape
    with pytest.raises(InputError, match="not finite; cut the gaps out"):
        preprocess_input(np.ma.masked_less(np.stack(list(given.values()), axis=-1), -3e-21), RATE)
    apart = {"H1": PyCBCLike(noise()), "L1": PyCBCLike(noise(), START + 1)}
    with pytest.raises(InputError, match=r"other times .*; cut them to GPS 1000000001 to 1000000020"):
        preprocess_input(apart)
    for path in ("H-H1.hdf5", Path("H-H1.hdf5")):
        with pytest.raises(InputError, match=r"H-H1.hdf5: is a path; a Detector's `stretches` reads"):
            preprocess_input(path)
        with pytest.raises(InputError, match="is a path; a Detector's `stretches`"):
            preprocess_input([path, path])
    with pytest.raises(InputError, match=r"ndarray H1: does not say when .* give sample_rate= too \(Hz\)"):
        preprocess_input(given)
    named = [PyCBCLike(given[name]) for name in ("L1", "H1")]
    with pytest.raises(InputError, match="of no known detector"):
        preprocess_input(named)
    for one, name in zip(named, ("L1", "H1"), strict=True):
        one.name = f"{name}:STRAIN"
    np.testing.assert_array_equal(preprocess_input(named), whole)
    with pytest.raises(InputError, match=r"shape \(40960,\); expected \(samples, detectors\)"):
        preprocess_input(given["H1"])
    with pytest.raises(InputError, match="without any time in common"):
        preprocess_input({"H1": PyCBCLike(noise()), "L1": PyCBCLike(noise(), START + 1000)})


@pytest.mark.parametrize(
    ("strain", "given", "mentioned"),
    [
        ({}, {}, "empty dictionary"),
        (5, {}, "5: is no strain; expected files, a dictionary"),
        ([None], {}, "None: is no strain"),
        ({"H1": noise()}, {}, r"ndarray H1: does not say when .* sample_rate= and gps_start="),
        ({"H1": noise()}, {"sample_rate": RATE}, r"give gps_start= too \(GPS seconds\)"),
        ({"H1": noise()}, {"sample_rate": "fast", "gps_start": 0}, "a sample rate of 'fast'"),
        ({"H1": noise()}, {"sample_rate": RATE, "gps_start": "today"}, "gps_start is 'today'"),
        ({"H1": noise()}, {"sample_rate": RATE, "gps_start": np.inf}, "finite time"),
        ({"H1": noise()}, {"sample_rate": 2048.5, "gps_start": 0}, "whole rate in Hz"),
        ({"Hanford": noise()}, {"sample_rate": RATE, "gps_start": 0}, "'Hanford': is of no known detector"),
        (noise(), {"sample_rate": RATE, "gps_start": 0}, "of no known detector"),
        ({"H1": noise() + 1j}, {"sample_rate": RATE, "gps_start": 0}, "complex128; expected real numbers"),
        ({"H1": np.array(["a"])}, {"sample_rate": RATE, "gps_start": 0}, "expected real numbers"),
        ({"H1": np.ones((5, 5))}, {"sample_rate": RATE, "gps_start": 0}, r"shape \(5, 5\)"),
        ({"H1": np.ones(0)}, {"sample_rate": RATE, "gps_start": 0}, r"shape \(0,\)"),
        ({"H1": "H-H1.hdf5"}, {}, "is a path; give paths as a list"),
        ({"H1": [PyCBCLike(noise()), PyCBCLike(noise(), START + 5)]}, {}, "give each segment once"),
        ({"H1": PyCBCLike(noise())}, {"quality": ["CBC_CAT1"]}, "no data-quality flags"),
    ],
)
def test_what_is_no_strain_is_refused(strain, given, mentioned):
    with pytest.raises(InputError, match=mentioned):
        find_segments(strain, **given)


def test_another_unit_is_refused():
    units = pytest.importorskip("astropy.units")
    with pytest.raises(InputError, match=r"Quantity L1: is in m .*expected strain"):
        find_segments({"L1": units.Quantity(noise(), "m")}, sample_rate=RATE, gps_start=0)
    with pytest.raises(InputError, match="sample rate"):
        find_segments({"L1": noise()}, sample_rate=units.Quantity(RATE, "m"), gps_start=0)
