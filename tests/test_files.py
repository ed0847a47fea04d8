import errno
import shutil

import pytest

from keras_gw_resnet import InputError
from keras_gw_resnet.files import check_output, refuse_input, require_space, written_aside


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
