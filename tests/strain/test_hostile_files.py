"""HDF5 that is locked, packed with what is not there, or declares more than it holds."""

import fcntl
import os

import h5py
import numpy as np
import pytest

from keras_gw_resnet import InputError
from keras_gw_resnet.errors import UnreadableError
from keras_gw_resnet.hdf5 import DEEPEST, open_hdf5
from keras_gw_resnet.strain.files import find_segments, read_segment
from keras_gw_resnet.strain.writers import mlgwsc1_file
from tests.conftest import run_command

ATTRIBUTES = {"start_time": 1000.0, "delta_t": 1 / 2048}


@pytest.fixture
def good(tmp_path):
    with mlgwsc1_file(tmp_path / "good.hdf", ["H1"], 2048) as add:
        add("H1", 1000, np.random.default_rng(0).normal(size=8 * 2048))
    return tmp_path / "good.hdf"


def test_a_locked_file_is_said_to_be_locked(good):
    with good.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(UnreadableError, match=r"cannot lock it .*errno = 11.*HDF5_USE_FILE_LOCKING=FALSE"):
            find_segments(good)
    assert len(find_segments(good)) == 1


@pytest.mark.parametrize("number", [11, 35, 37])
def test_hdf5s_reason_is_passed_on(good, monkeypatch, number):
    def fail(*_, **__):
        raise OSError(
            number, f"Unable to synchronously open file (unable to lock file, errno = {number}, error message = 'x')"
        )

    monkeypatch.setattr(h5py, "File", fail)
    with pytest.raises(UnreadableError, match=f"errno = {number}.*HDF5_USE_FILE_LOCKING=FALSE"):
        find_segments(good)


@pytest.mark.parametrize("swmr", [False, True])
def test_a_writer_that_crashed_is_said(tmp_path, swmr):
    path = tmp_path / "crashed.hdf"
    code = (
        f"import h5py, os; file = h5py.File({str(path)!r}, 'w', libver='latest'); file['H1/0'] = [1.0]; "
        f"{'file.swmr_mode = True; ' if swmr else ''}file.flush(); os._exit(0)"
    )
    assert run_command("-c", code).returncode == 0
    with pytest.raises(
        UnreadableError,
        match=r"marked as being written \(file is already open for.*h5clear.*HDF5_USE_FILE_LOCKING=FALSE",
    ):
        find_segments(path)


@pytest.mark.parametrize(("code", "name"), [(32001, "blosc"), (32015, "zstd"), (32008, "bitshuffle"), (32013, "zfp")])
def test_a_filter_that_is_not_installed_is_named(tmp_path, monkeypatch, code, name):
    monkeypatch.setattr("keras_gw_resnet.hdf5._is_available", lambda code: code < 256)
    with h5py.File(tmp_path / "packed.hdf", "w") as file:
        options = {"compression": code, "allow_unknown_filter": True}
        data = file.create_dataset("H1/1000", (20480,), np.float64, chunks=(20480,), **options)
        data.id.write_direct_chunk((0,), b"packed" * 1000)
        data.attrs.update(ATTRIBUTES)
    with pytest.raises(UnreadableError, match=rf"compressed with {name} \(HDF5 filter {code}\).*hdf5plugin"):
        find_segments(tmp_path / "packed.hdf")


def test_with_hdf5plugin_compressed_strain_is_read(tmp_path):
    plugin = pytest.importorskip("hdf5plugin", reason="HDF5PLUGIN ABSENT: make extras; this check did not run")
    strain = np.random.default_rng(0).normal(size=20480)
    for number, packed in enumerate((plugin.Blosc(), plugin.Zstd(), plugin.Bitshuffle())):
        with h5py.File(tmp_path / f"{number}.hdf", "w") as file:
            file.create_dataset("H1/1000", data=strain, **packed).attrs.update(ATTRIBUTES)
        np.testing.assert_array_equal(read_segment(find_segments(tmp_path / f"{number}.hdf")[0]).strain, strain)


@pytest.mark.parametrize("power", [20, 30, 40, 50])
@pytest.mark.parametrize(
    "layout", [{}, {"chunks": (65536,)}, {"chunks": (65536,), "compression": "gzip"}, {"fillvalue": 1.0}]
)
def test_more_is_declared_than_is_held(tmp_path, power, layout):
    with h5py.File(tmp_path / "big.hdf", "w") as file:
        data = file.create_dataset("H1/1000", (1 << power,), np.float64, **layout)
        data.attrs.update(ATTRIBUTES)
        if "chunks" in layout:
            data[:10] = 1.0
    with pytest.raises(InputError, match=r"H1/1000 declares .* bytes, more than the file of .* holds"):
        find_segments(tmp_path / "big.hdf")


def gwosc(path, mask=(4,), names=(1,)):
    with h5py.File(path, "w") as file:
        file["strain/Strain"] = np.random.default_rng(0).normal(size=4 * 4096)
        file["strain/Strain"].attrs.update(Xstart=100.0, Xspacing=1 / 4096)
        file["meta/Detector"] = "H1"
        file.create_dataset("quality/simple/DQmask", mask, np.uint32, chunks=True)
        file.create_dataset("quality/simple/DQShortnames", names, "S4", chunks=True)
    return path


def test_masks_and_names_are_looked_at_before_they_are_read(tmp_path):
    with pytest.raises(InputError, match=r"DQmask has shape .*expected 4 integers"):
        find_segments(gwosc(tmp_path / "mask.hdf5", mask=(1 << 40,)))
    with pytest.raises(InputError, match="DQShortnames declares 4 bytes"):
        find_segments(gwosc(tmp_path / "nothing.hdf5"))
    with pytest.raises(InputError, match="no list of names"):
        find_segments(gwosc(tmp_path / "names.hdf5", names=(1 << 40,)))


def test_nested_groups_and_loops_end(tmp_path):
    with h5py.File(tmp_path / "deep.hdf", "w") as file:
        group = file
        for _ in range(4000):
            group = group.create_group("g")
    with pytest.raises(InputError, match=f"nested more than {DEEPEST} deep"):
        find_segments(tmp_path / "deep.hdf")
    with h5py.File(tmp_path / "loop.hdf", "w") as file:
        file["a/b/c"] = file["/"]
        file["a/d"] = h5py.SoftLink("/a")
        file["a/e"] = h5py.ExternalLink("loop.hdf", "/")
    with pytest.raises(InputError, match="no strain in a known layout"):
        find_segments(tmp_path / "loop.hdf")
    with h5py.File(tmp_path / "self.hdf", "w") as file:
        file["a"] = h5py.SoftLink("/a")
    with pytest.raises(InputError, match="a is a broken link to /a"):
        find_segments(tmp_path / "self.hdf")


def test_values_outside_the_file_are_refused(good, tmp_path):
    (tmp_path / "text").write_bytes(b"root:x:0:0:root:/root:/bin/sh\n" * 40000)
    with h5py.File(tmp_path / "outside.hdf", "w") as file:
        file.create_dataset("H1/1000", (20480,), np.float64, external=[(str(tmp_path / "text"), 0, 8 * 20480)])
        file["H1/1000"].attrs.update(ATTRIBUTES)
    layout = h5py.VirtualLayout((8 * 2048,), np.float64)
    layout[:] = h5py.VirtualSource(good, "H1/1000", (8 * 2048,))
    with h5py.File(tmp_path / "virtual.hdf", "w") as file:
        file.create_virtual_dataset("H1/1000", layout)
        file["H1/1000"].attrs.update(ATTRIBUTES)
    for name in ("outside.hdf", "virtual.hdf"):
        with pytest.raises(InputError, match="keeps its values in other files; write them into this one"):
            find_segments(tmp_path / name)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, 1e300])
@pytest.mark.parametrize("attribute", ["start_time", "delta_t", "seed"])
def test_attributes_of_infinity(good, attribute, value):
    with h5py.File(good, "r+") as file:
        (file if attribute == "seed" else file["H1/1000"]).attrs[attribute] = value
    if attribute == "seed" and value == 1e300:
        assert find_segments(good)[0].origin.startswith("simulated")
        return
    with pytest.raises(InputError, match=r"good\.hdf"):
        find_segments(good)


def test_devices_pipes_and_folders_are_no_files(tmp_path):
    os.mkfifo(tmp_path / "pipe.hdf")
    (tmp_path / "link.hdf").symlink_to("nothing.hdf")
    for path, message in {
        "/dev/zero": "is no regular file",
        tmp_path / "pipe.hdf": "is no regular file",
        tmp_path / "link.hdf": r"a link to nothing\.hdf, which is not there",
    }.items():
        with pytest.raises(InputError, match=message), open_hdf5(path):
            pass


def test_messages_are_short(tmp_path):
    with h5py.File(tmp_path / "long.hdf", "w") as file:
        file["H1:" + "x" * 60000] = np.ones(20, np.int32)
        file["H1:" + "x" * 60000].attrs.update(x0=0.0, dx=1.0)
    with pytest.raises(InputError, match="holds no strain") as error:
        find_segments(tmp_path / "long.hdf")
    assert len(str(error.value)) <= 300
