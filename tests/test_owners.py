"""One process at a time writes to one place, and what killed ones leave is taken away."""

import json
import os
import signal
import socket
import subprocess
import sys

import pytest

from keras_gw_resnet import InputError
from keras_gw_resnet.files import check_output, written_aside
from keras_gw_resnet.owners import owned
from tests.conftest import ROOT

HOLD = """
import sys, time
from keras_gw_resnet.owners import owned
with owned(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""
WRITE = """
import sys, time
from keras_gw_resnet.files import written_aside
with written_aside(sys.argv[1]) as aside:
    aside.write_text("half")
    print("held", flush=True)
    time.sleep(60)
"""


def start(code, path):
    process = subprocess.Popen([sys.executable, "-c", code, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    return process


def kill(process):
    process.kill()
    process.wait(timeout=60)
    process.stdout.close()


def test_a_second_writer_is_refused_and_takes_over_when_the_first_is_gone(tmp_path):
    path = tmp_path / "new" / "e.hdf"
    process = start(HOLD, path)
    with (
        pytest.raises(InputError, match=f"is being written by process {process.pid} on {socket.gethostname()}"),
        owned(path),
    ):
        pass
    kill(process)
    assert (tmp_path / "new" / ".e.hdf.lock").exists()
    with owned(path):
        pass
    assert list(tmp_path.iterdir()) == [tmp_path / "new"]
    assert list((tmp_path / "new").iterdir()) == []


def test_a_lock_of_another_machine_is_respected_and_one_of_a_dead_process_is_not(tmp_path):
    lock = tmp_path / ".e.hdf.lock"
    lock.write_text(json.dumps({"pid": 1, "host": "far.example.org"}))
    with (
        pytest.raises(InputError, match=r"process 1 on far\.example\.org; .*remove .*\.e\.hdf\.lock"),
        owned(tmp_path / "e.hdf"),
    ):
        pass
    assert lock.exists()
    for content in (json.dumps({"pid": 2**22 + 1, "host": socket.gethostname()}), "", "[", '{"pid": "x"}', "[" * 4000):
        lock.write_text(content)
        with owned(tmp_path / "e.hdf"):
            assert json.loads(lock.read_text())["pid"] == os.getpid()
        assert not lock.exists()


def test_a_lock_that_is_a_link_is_not_followed(tmp_path):
    (tmp_path / "good").write_text("good")
    (tmp_path / ".e.hdf.lock").symlink_to("good")
    with pytest.raises(InputError, match=r"e\.hdf: cannot write there"), owned(tmp_path / "e.hdf"):
        pass
    assert (tmp_path / "good").read_text() == "good"


def test_no_folders_are_left_where_nothing_was_written(tmp_path):
    with pytest.raises(InputError, match="stop"), owned(tmp_path / "a" / "b" / "e.hdf"):
        raise InputError("stop")
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_was_writing_is_removed_and_no_more(tmp_path):
    killed, alive = start(WRITE, tmp_path / "a"), start(WRITE, tmp_path / "b")
    kill(killed)
    (tmp_path / "other").mkdir()
    (tmp_path / ".partial-mine").mkdir()
    (tmp_path / f".partial-far.example.org-{killed.pid}-x").mkdir()
    link = tmp_path / f".partial-{socket.gethostname()}-{killed.pid}-link"
    link.symlink_to("other")
    (tmp_path / "other" / "good").touch()
    before = {path.name for path in tmp_path.iterdir()}
    (gone,) = [name for name in before if f"-{killed.pid}-" in name and "link" not in name and "example" not in name]
    check_output(tmp_path / "c")
    assert {path.name for path in tmp_path.iterdir()} == before - {gone}
    with written_aside(tmp_path / "c") as aside:
        aside.write_text("whole")
    assert {path.name for path in tmp_path.iterdir()} == before - {gone} | {"c"}
    assert (tmp_path / "other" / "good").exists()
    alive.send_signal(signal.SIGTERM)
    alive.wait(timeout=60)
    alive.stdout.close()


def test_many_at_once_never_share(tmp_path):
    code = (
        "import sys, time, pathlib\nfrom keras_gw_resnet import InputError\nfrom keras_gw_resnet.owners import owned\n"
        "path = pathlib.Path(sys.argv[1])\nstop = time.monotonic() + 1.5\nwins = 0\n"
        "while time.monotonic() < stop:\n"
        "    try:\n"
        "        with owned(path):\n"
        "            path.with_name('inside').touch(exist_ok=False)\n"
        "            path.with_name('inside').unlink()\n"
        "            wins += 1\n"
        "    except InputError:\n"
        "        pass\n"
        "print(wins)"
    )
    arguments = [sys.executable, "-c", code, str(tmp_path / "e.hdf")]
    processes = [
        subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(3)
    ]
    outputs = [process.communicate(timeout=60) for process in processes]
    assert [error for _, error in outputs] == [b""] * 3
    assert sum(int(out) for out, _ in outputs) > 10
    assert list(tmp_path.iterdir()) == []
