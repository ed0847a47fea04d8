import h5py
import numpy as np
import pytest

from keras_gw_resnet import InputError
from keras_gw_resnet.strain.writers import mlgwsc1_file, write_gwosc


def layout(path):
    """Groups, datasets and attribute names of an HDF5 file."""
    found = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.update({name: sorted(item.attrs)}))
    return found


def test_same_layout_as_a_file_of_the_challenge(tmp_path, mlgwsc1_folder):
    with mlgwsc1_file(tmp_path / "ours.hdf", ["H1", "L1"], 2048, seed=1) as add:
        for detector in ("H1", "L1"):
            add(detector, 1238205077, np.zeros(10))
    theirs = layout(mlgwsc1_folder / "set3-background.hdf")
    assert layout(tmp_path / "ours.hdf") == theirs
    with h5py.File(tmp_path / "ours.hdf") as ours, h5py.File(mlgwsc1_folder / "set3-background.hdf") as other:
        assert ours["H1/1238205077"].attrs["delta_t"] == other["H1/1238205077"].attrs["delta_t"]
        assert ours["H1/1238205077"].dtype == other["H1/1238205077"].dtype
        assert list(ours.attrs["detectors"]) == list(other.attrs["detectors"])


def test_what_gwosc_files_hold_is_written(tmp_path, gw150914_files):
    write_gwosc(tmp_path / "ours.hdf5", "H1", 1126259446, 4096, np.zeros(131072), "SIMULATED")
    ours, theirs = layout(tmp_path / "ours.hdf5"), layout(gw150914_files[0])
    assert set(ours) <= set(theirs)
    with h5py.File(tmp_path / "ours.hdf5") as file:
        assert file["meta/Description"][()] == b"SIMULATED"
        assert file["strain/Strain"].attrs["Xspacing"] == 1 / 4096


def test_a_failed_write_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), mlgwsc1_file(tmp_path / "s.hdf", ["H1"], 2048) as add:
        add("H1", 0, np.zeros(10))
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot write there"), mlgwsc1_file(tmp_path / "file" / "s.hdf", ["H1"], 2048):
        pass
