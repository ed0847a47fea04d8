import h5py
import numpy as np
import pytest

from keras_gw_resnet import InputError
from keras_gw_resnet.simulation.psds import load_psd
from keras_gw_resnet.simulation.sets import psds_of
from tests.conftest import shared


def test_name_agrees_with_pycbc():
    from pycbc.psd import aLIGOZeroDetHighPower

    ours = load_psd("aLIGOZeroDetHighPower", 0.25, 1024)
    theirs = aLIGOZeroDetHighPower(4097, 0.25, 15).numpy()
    np.testing.assert_allclose(ours[60:-1], theirs[60:-1], rtol=1e-10)
    assert not ours[:60].any()
    assert ours[-1] > 0


def test_file_of_the_challenge():
    path = shared("psds", "H1", "psd-0.hdf")
    psd = load_psd(path, 0.25, 1024)
    with h5py.File(path) as file:
        values = file["data"][()]
    np.testing.assert_allclose(psd[60:4096:4], values[15:1024], rtol=1e-10)


def test_text_file(tmp_path):
    np.savetxt(tmp_path / "psd.txt", np.stack([np.arange(10, 1100), np.full(1090, 1e-46)], axis=-1))
    np.testing.assert_allclose(load_psd(tmp_path / "psd.txt", 0.25, 1024)[60:], 1e-46)


def test_sources_of_each_detector(tmp_path):
    (tmp_path / "H1").mkdir()
    flat = tmp_path / "H1" / "flat.txt"
    np.savetxt(flat, np.stack([np.arange(10, 1100), np.full(1090, 1e-46)], axis=-1))
    names = ["aLIGOZeroDetHighPower", "V1=AdvVirgo", f"L1={flat}"]
    found = psds_of(names, ("H1", "L1", "V1"))
    assert found == {"H1": ["aLIGOZeroDetHighPower"], "L1": [str(flat)], "V1": ["AdvVirgo"]}
    assert psds_of([tmp_path, "V1=AdvVirgo"], ("V1", "H1")) == {"V1": ["AdvVirgo"], "H1": [str(flat)]}
    with pytest.raises(InputError, match=r"no PSD files in a folder L1; expected .* or L1=NAME beside it"):
        psds_of([tmp_path, "V1=AdvVirgo"], ("H1", "L1"))
    with pytest.raises(InputError, match="unknown PSD 'Nothing'"):
        psds_of(["V1=Nothing"], ("V1",))


def test_bad_sources(tmp_path):
    np.savetxt(tmp_path / "short.txt", np.stack([np.arange(30, 500), np.ones(470)], axis=-1))
    np.savetxt(tmp_path / "negative.txt", np.stack([np.arange(10, 1100), -np.ones(1090)], axis=-1))
    (tmp_path / "text.hdf").write_text("nothing")
    for source, message in {
        "aLIGONothing": "unknown PSD 'aLIGONothing'",
        tmp_path / "missing.hdf": "no such file",
        tmp_path / "short.txt": "covers 30-499 Hz; expected 15-1024 Hz",
        tmp_path / "negative.txt": "negative or non-finite",
        tmp_path / "text.hdf": "is no PSD",
    }.items():
        with pytest.raises(InputError, match=message):
            load_psd(source, 0.25, 1024)
