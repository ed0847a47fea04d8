import errno
import shutil
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest

from keras_gw_resnet import InputError
from keras_gw_resnet.files import check_output, new_hdf5, refuse_input, require_space, written_aside
from tests.conftest import ROOT, assert_refused


def test_what_fails_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("before")
    with pytest.raises(RuntimeError), written_aside(path) as aside:
        aside.write_text("half")
        raise RuntimeError
    assert path.read_text() == "before"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_existing_files_and_folders(tmp_path):
    file, folder = tmp_path / "a.hdf", tmp_path / "out"
    check_output(file)
    check_output(folder, folder_of=("a",))
    file.touch()
    folder.mkdir()
    (folder / "a").touch()
    for path in (file, folder):
        with pytest.raises(InputError, match="exists already"):
            check_output(path)
    check_output(file, True)
    check_output(folder, True, folder_of=("a", "b"))
    with pytest.raises(InputError, match="is a folder"):
        check_output(folder, True)
    with pytest.raises(InputError, match="is a file"):
        check_output(file, True, folder_of=("a",))
    (folder / "thesis.tex").touch()
    with pytest.raises(InputError, match=r"holds thesis\.tex"):
        check_output(folder, True, folder_of=("a",))


def test_inputs_are_not_written_over(tmp_path):
    file, link = tmp_path / "a.hdf", tmp_path / "b.hdf"
    file.touch()
    link.symlink_to(file)
    refuse_input([tmp_path / "new.hdf"], [file])
    with pytest.raises(InputError, match="one of the input files"):
        refuse_input([link], [file])


def test_a_full_disk_is_said_with_the_path(tmp_path, monkeypatch):
    full = pytest.raises(InputError, match=r"a\.txt: cannot be written \(No space left on device\)")
    with full, written_aside(tmp_path / "a.txt"):
        raise OSError(errno.ENOSPC, "No space left on device", "elsewhere")
    assert list(tmp_path.iterdir()) == []
    require_space(tmp_path / "new" / "b.hdf", 1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 5, 5_000_000))
    require_space(tmp_path / "b.hdf", 1_000_000)
    with pytest.raises(InputError, match=r"b\.hdf: needs 9 MB of disk space, 5 MB are free"):
        require_space(tmp_path / "new" / "b.hdf", 9_000_000)


def test_a_disk_that_fills_while_hdf5_is_written(tmp_path):
    """A limit on the size of files, as a full disk does, fails a write in the middle; libhdf5 by itself would crash."""
    out = tmp_path / "out"
    simulate = (
        f"{sys.executable} -m keras_gw_resnet simulate noise --segments 1 --segment-seconds 64 --output {out}/n.hdf"
    )
    result = subprocess.run(
        ["bash", "-c", f"ulimit -f 100; {simulate}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert_refused(result, "n.hdf: cannot be written (File too large)")
    assert [path.name for path in out.glob("*")] == []


def test_hdf5_that_was_written_can_be_read(tmp_path):
    values = np.random.default_rng(0).standard_normal((100, 1000))
    with new_hdf5(tmp_path / "a.hdf") as file:
        file.create_dataset("packed", data=values, compression="gzip", chunks=(10, 1000))
        for row in range(100):
            file[f"rows/{row}"] = values[row]
        assert np.array_equal(file["rows/3"], values[3])
    with h5py.File(tmp_path / "a.hdf") as file:
        assert np.array_equal(file["packed"], values)
        assert np.array_equal(file["rows/99"], values[99])


def test_sigterm_leaves_nothing_half_written(tmp_path):
    simulate = (
        "simulate",
        "noise",
        "--segments",
        "20",
        "--segment-seconds",
        "300",
        "--output",
        str(tmp_path / "n.hdf"),
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "keras_gw_resnet", *simulate], cwd=ROOT, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".partial-*/n.hdf")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.terminate()
    assert process.wait(timeout=60) == 143
    assert list(tmp_path.iterdir()) == []
