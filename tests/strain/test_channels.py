"""Files as people write them with gwpy and PyCBC: strain beside other things."""

import h5py
import numpy as np
import pytest

from keras_gw_resnet import InputError
from keras_gw_resnet.strain.files import find_segments, read_segment
from keras_gw_resnet.strain.writers import mlgwsc1_file
from tests.conftest import assert_refused, run_command, run_commands

RNG = np.random.default_rng(0)
STRAIN = {detector: RNG.normal(size=32 * 2048) * 1e-21 for detector in ("H1", "L1")}
NAME = "{}:GDS-CALIB_STRAIN"


@pytest.fixture(scope="module")
def gwpy():
    reason = "GWPY ABSENT: 'make extras' installs it; this check did not run"
    return pytest.importorskip("gwpy.timeseries", reason=reason)


def series(gwpy, detector="H1", name=NAME, unit="strain", values=None, **more):
    values = STRAIN[detector] if values is None else values
    name = name.format(detector)
    return gwpy.TimeSeries(values, t0=1e9, sample_rate=2048, unit=unit, name=name, channel=name, **more)


def assert_is(path, expected, **options):
    headers = find_segments(path, **options)
    assert {h.detector: h.dataset for h in headers} == expected
    for header in headers:
        assert (header.gps_start, header.sample_rate) == (1e9, 2048)
        np.testing.assert_array_equal(read_segment(header).strain, STRAIN[header.detector])


def test_strain_beside_a_state_vector_auxiliary_channels_and_spectra(gwpy, tmp_path):
    path, strain = tmp_path / "all.hdf5", series(gwpy)
    strain.write(path)
    state = gwpy.StateVector(np.ones(32, np.uint32), t0=1e9, sample_rate=1, name="H1:GDS-CALIB_STATE_VECTOR")
    state.write(path, append=True)
    series(gwpy, name="{}:PEM-MIC", unit="V").write(path, append=True, path="H1/PEM")
    series(gwpy, name="{}:LSC-DARM", unit="").write(path, append=True)
    strain.asd(4).write(path, append=True, path="asd")
    strain.spectrogram2(2).write(path, append=True, path="map")
    assert_is(path, {"H1": "H1:GDS-CALIB_STRAIN"})


def test_an_asd_is_no_strain(gwpy, tmp_path):
    series(gwpy).asd(4).write(tmp_path / "asd.hdf5", path="asd")
    with pytest.raises(InputError, match=r"asd\.hdf5: holds no strain: asd \(a series in Hz\)"):
        find_segments(tmp_path / "asd.hdf5")


def test_strain_in_groups(gwpy, tmp_path):
    for detector in ("H1", "L1"):
        series(gwpy, detector).write(tmp_path / "groups.hdf5", path=f"{detector}/GDS-CALIB_STRAIN", append=True)
        series(gwpy, detector, name="strain").write(tmp_path / "plain.hdf5", path=f"{detector}/strain", append=True)
        series(gwpy, detector, name="strain").write(tmp_path / "deep.hdf5", path=f"a/{detector}/strain/x", append=True)
    gwpy.TimeSeriesDict({d: series(gwpy, d) for d in STRAIN}).write(tmp_path / "dict.hdf5")
    assert_is(tmp_path / "groups.hdf5", {d: f"{d}/GDS-CALIB_STRAIN" for d in STRAIN})
    assert_is(tmp_path / "plain.hdf5", {d: f"{d}/strain" for d in STRAIN})
    assert_is(tmp_path / "deep.hdf5", {d: f"a/{d}/strain/x" for d in STRAIN})
    assert_is(tmp_path / "dict.hdf5", {"H1": "H1", "L1": "L1"})


def test_pycbc_series_and_spectra_in_groups(tmp_path):
    from pycbc.types import TimeSeries

    for detector, values in STRAIN.items():
        strain = TimeSeries(values, delta_t=1 / 2048, epoch=1e9)
        strain.save(str(tmp_path / "a.hdf"), group=f"{detector}/strain")
        strain.psd(4).save(str(tmp_path / "a.hdf"), group=f"{detector}/psd")
        TimeSeries(values * 1e3, delta_t=1 / 2048, epoch=1e9).save(str(tmp_path / "a.hdf"), group=f"{detector}/mic")
    assert_is(tmp_path / "a.hdf", {d: f"{d}/strain" for d in STRAIN})


def several(gwpy, path):
    for detector, values in STRAIN.items():
        series(gwpy, detector).write(path, append=True)
        cleaned = series(gwpy, detector, name="{}:DCS-CALIB_STRAIN_C01", values=2 * values)
        cleaned.write(path, append=True)
    return path


def test_several_strain_channels_are_listed_and_one_is_chosen(gwpy, tmp_path):
    path = several(gwpy, tmp_path / "several.hdf5")
    message = "several channels of H1: H1:DCS-CALIB_STRAIN_C01 in strain, H1:GDS-CALIB_STRAIN in strain; choose with --channel"
    with pytest.raises(InputError, match=message):
        find_segments(path)
    chosen = {d: NAME.format(d) for d in STRAIN}
    assert_is(path, chosen, channels=chosen)
    assert_is(path, chosen, channels=[f"{d}={name}" for d, name in chosen.items()])
    with pytest.raises(InputError, match="has no channel H1:NONE of H1; it has H1:DCS"):
        find_segments(path, channels={"H1": "H1:NONE"})
    with pytest.raises(InputError, match="--channel V2=x: expected a detector"):
        find_segments(path, channels=["V2=x"])


def test_what_is_in_another_unit_is_taken_only_when_asked_for(gwpy, tmp_path):
    path = tmp_path / "mic.hdf5"
    series(gwpy, name="{}:PEM-MIC", unit="V").write(path)
    with pytest.raises(
        InputError, match="no series in units of strain; it has H1:PEM-MIC in V; choose with --channel H1="
    ):
        find_segments(path)
    assert_is(path, {"H1": "H1:PEM-MIC"}, channels={"H1": "H1:PEM-MIC"})


def test_the_channel_says_the_detector_too(tmp_path):
    with h5py.File(tmp_path / "x.hdf", "w") as file:
        file["data"] = STRAIN["H1"]
        file["data"].attrs.update(start_time=1e9, delta_t=1 / 2048)
    with pytest.raises(InputError, match=r"does not say its detector.*--channel H1=data"):
        find_segments(tmp_path / "x.hdf")
    assert_is(tmp_path / "x.hdf", {"H1": "data"}, channels={"H1": "data"})


def test_external_links_are_followed_to_hdf5_files_alone(gwpy, tmp_path):
    series(gwpy).write(tmp_path / "far.hdf5", path="x/strain")
    (tmp_path / "text.hdf5").write_text("root:x:0:0:root:/root:/bin/sh\n" * 4000)
    for name, target in {"good": "far.hdf5", "gone": "gone.hdf5", "text": "text.hdf5", "device": "/dev/zero"}.items():
        with h5py.File(tmp_path / f"H1-{name}.hdf5", "w") as file:
            file["H1:S"] = h5py.ExternalLink(target, "/x/strain")
    with h5py.File(tmp_path / "H1-inside.hdf5", "w") as file:
        file["H1:S"] = h5py.ExternalLink("far.hdf5", "/x/other")
    with h5py.File(tmp_path / "H1-soft.hdf5", "w") as file:
        file["H1:S"] = h5py.SoftLink("/nothing")
    assert_is(tmp_path / "H1-good.hdf5", {"H1": "H1:S"})
    for name, message in {
        "gone": r"H1:S is a link to gone\.hdf5, which is not there",
        "text": r"H1:S is a link to text\.hdf5, which is no HDF5 file",
        "device": "H1:S is a link to /dev/zero, which is not there",
        "inside": r"H1:S is a broken link to far\.hdf5 /x/other",
        "soft": "H1:S is a broken link to /nothing",
    }.items():
        with pytest.raises(InputError, match=message):
            find_segments(tmp_path / f"H1-{name}.hdf5")


def test_commands_take_channels(tmp_path):
    path = tmp_path / "two.hdf"
    with mlgwsc1_file(path, list(STRAIN), 2048) as add:
        for detector, values in STRAIN.items():
            add(detector, 1000, values)
    with h5py.File(path, "r+") as file:
        for detector in STRAIN:
            file[f"{detector}/aux_strain"] = 2 * file[f"{detector}/1000"][()]
            file[f"{detector}/main_strain"] = file[f"{detector}/1000"][()]
            for name in ("aux_strain", "main_strain"):
                file[f"{detector}/{name}"].attrs.update(start_time=1000.0, delta_t=1 / 2048)
            del file[f"{detector}/1000"]
    channel = ("--channel", "H1=main_strain", "L1=main_strain")
    output = ("--output", tmp_path / "s.json")
    refused, listed, measured, odd = run_commands(
        [
            ("statistics", path, *output),
            ("inspect", path, *channel),
            ("statistics", path, *output, *channel),
            ("statistics", path, "--overwrite", *output, "--channel", "H1"),
        ]
    )
    assert_refused(refused, "two.hdf: holds several channels of H1: H1/aux_strain, H1/main_strain", "--channel H1=NAME")
    assert (listed.returncode, measured.returncode) == (0, 0), listed.stderr + measured.stderr
    assert_refused(odd, "--channel H1: expected a detector and the name of its channel")


def test_a_search_takes_channels(gwpy, small_run, tmp_path):
    path, output = several(gwpy, tmp_path / "several.hdf5"), tmp_path / "e.hdf"
    command = ("-m", "keras_gw_resnet", "search", small_run, path, "--output", output)
    assert_refused(run_command(*command), "several channels", "--channel H1=NAME")
    chosen = run_command(*command, "--channel", *(f"{d}={NAME.format(d)}" for d in STRAIN))
    assert chosen.returncode == 0, chosen.stderr
    assert [p.name for p in tmp_path.glob(".*")] == []


@pytest.mark.parametrize(
    ("name", "value"),
    [("x0", [1e9, 2.0]), ("x0", "later"), ("x0", []), ("x0", 1e9 + 1j), ("dx", "abc"), ("dx", [[1.0, 2.0]])],
)
def test_a_start_or_spacing_that_is_no_number(tmp_path, name, value):
    path = tmp_path / "H-H1_own.hdf"
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("H1:STRAIN", data=np.zeros(4096))
        dataset.attrs.update({"x0": 1e9, "dx": 1 / 2048, "unit": "strain", "channel": "H1:STRAIN", name: value})
    with pytest.raises(InputError, match=r"H-H1_own.hdf: the (start|sample spacing) of H1:STRAIN is .*one number"):
        find_segments([path])
