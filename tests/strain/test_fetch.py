"""Against a server on this machine that answers as the catalogue of gwosc.org does, with files of its layout."""

import fcntl
import json
import threading
import zlib
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlparse

import h5py
import numpy as np
import pytest

from keras_gw_resnet import InputError
from keras_gw_resnet.strain.fetch import download, find_urls
from keras_gw_resnet.strain.files import find_segments
from keras_gw_resnet.strain.writers import write_gwosc
from tests.conftest import assert_refused, run_command

FETCH = ("-m", "keras_gw_resnet", "fetch")


class Catalogue(BaseHTTPRequestHandler):
    """Answers about one event and one run; `server.broken` makes it stop in the middle of a file.

    `server.marks` is what it says of a file's version: a function from the file's bytes to headers.
    """

    def log_message(self, *_):
        pass

    def answer(self, body, status=200, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        parts, query = urlparse(self.path), parse_qs(urlparse(self.path).query)
        self.server.requests.append((parts.path, self.headers.get("Range"), self.headers.get("If-Range")))
        host = f"http://127.0.0.1:{self.server.server_port}"
        if parts.path.startswith("/files/"):
            self.send_file(self.server.folder / parts.path.rsplit("/", 1)[-1])
        elif parts.path in ("/api/v2/event-versions/GW150914/strain-files", "/api/v2/runs/O1/strain-files"):
            names = [p.name for p in sorted(self.server.folder.iterdir()) if query["detector"][0] in p.name]
            urls = [f"{host}/files/{name}" for name in names]
            results = [{"gps_start": 100, "duration": 32, "download_url": u, "hdf5_url": u} for u in urls]
            self.answer(json.dumps({"num_pages": 1, "next": None, "results": results}).encode())
        elif parts.path == "/api/v2/event-versions/GW150914":
            self.answer(json.dumps({"gps": 116.4, "run": "O1"}).encode())
        else:
            self.answer(b"{}", status=404)

    def send_file(self, path):
        data, first = path.read_bytes(), 0
        marks = self.server.marks(data)
        if self.headers.get("Range") and self.headers.get("If-Range") in (None, *marks.values()):
            first = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        if first >= len(data):
            self.answer(b"", status=416)
            return
        self.send_response(206 if first else 200)
        for name, value in marks.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data) - first))
        self.end_headers()
        self.wfile.write(data[first : len(data) // 2] if self.server.broken else data[first:])


@pytest.fixture
def server(tmp_path):
    folder = tmp_path / "served"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for detector in ("H1", "L1"):
        path = folder / f"{detector[0]}-{detector}_GWOSC_4KHZ_R1-100-32.hdf5"
        write_gwosc(path, detector, 100, 4096, rng.normal(size=32 * 4096) * 1e-21, "SIMULATED")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Catalogue)
    server.folder, server.requests, server.broken, server.marks = folder, [], False, etag
    server.handle_error = lambda *_: None  # a client that is gone is no news
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def etag(data):
    return {"ETag": f'"{zlib.crc32(data):x}"'}


def date(data):
    return {"ETag": 'W/"1"', "Last-Modified": formatdate(zlib.crc32(data), usegmt=True)}


def address(server):
    return f"http://127.0.0.1:{server.server_port}"


def test_an_event_is_fetched_once(server, tmp_path):
    out = tmp_path / "cache"
    command = (*FETCH, "GW150914", "--host", address(server), "--output", out)
    result = run_command(*command)
    assert result.returncode == 0, result.stderr
    assert sorted(p.name for p in out.iterdir()) == sorted(p.name for p in server.folder.iterdir())
    for path in out.iterdir():
        assert path.read_bytes() == (server.folder / path.name).read_bytes()
    assert [h.detector for h in find_segments(out)] == ["H1", "L1"]
    server.requests.clear()
    again = run_command(*command)
    assert again.returncode == 0
    assert "there already" in again.stdout
    assert not [path for path, *_ in server.requests if path.startswith("/files/")]


def test_a_stretch_of_a_run_is_fetched(server, tmp_path):
    stretch = ("--run", "O1", "--start", 100, "--duration", 20, "--detectors", "L1")
    result = run_command(*FETCH, *stretch, "--host", address(server), "--output", tmp_path / "out")
    assert result.returncode == 0, result.stderr
    assert [h.detector for h in find_segments(tmp_path / "out")] == ["L1"]


@pytest.mark.parametrize("marks", [etag, date])
def test_an_interrupted_transfer_goes_on_where_it_stopped(server, tmp_path, marks):
    server.marks = marks
    (url,) = find_urls(["H1"], event="GW150914", host=address(server))
    server.broken = True
    with pytest.raises(InputError, match="give the same command again"):
        download(url, tmp_path / "out")
    (part,) = (tmp_path / "out").glob("*.part")
    size = (server.folder / part.name.removesuffix(".part")).stat().st_size
    assert part.name.endswith(".hdf5.part")
    arrived = part.stat().st_size
    assert 0 < arrived <= size // 2
    server.broken = False
    path, fetched = download(url, tmp_path / "out")
    assert fetched
    assert server.requests[-1][1] == f"bytes={arrived}-"
    assert path.read_bytes() == (server.folder / path.name).read_bytes()
    assert list((tmp_path / "out").iterdir()) == [path]


@pytest.mark.parametrize("marks", [etag, date, lambda _: {}, lambda _: {"ETag": 'W/"1"'}])
def test_two_versions_of_a_file_are_never_joined(server, tmp_path, marks):
    server.marks, server.broken = marks, True
    (url,) = find_urls(["H1"], event="GW150914", host=address(server))
    with pytest.raises(InputError, match="give the same command again"):
        download(url, tmp_path / "out")
    (served,) = server.folder.glob("*H1*")
    strain = np.random.default_rng(1).normal(size=32 * 4096) * 1e-21
    write_gwosc(served, "H1", 100, 4096, strain, "SIMULATED")
    # The other version breaks off too: what is kept then is of that one, with its mark.
    with pytest.raises(InputError, match="give the same command again"):
        download(url, tmp_path / "out")
    assert served.read_bytes().startswith(next((tmp_path / "out").glob("*.part")).read_bytes())
    server.broken = False
    path, _ = download(url, tmp_path / "out")
    assert path.read_bytes() == served.read_bytes()
    assert list((tmp_path / "out").iterdir()) == [path]
    _, sent_range, if_range = server.requests[-1]
    version = marks(served.read_bytes())
    strong = version.get("Last-Modified") or version.get("ETag", "W/")
    assert (sent_range is None, if_range) == ((True, None) if strong.startswith("W/") else (False, strong))


def test_a_damaged_file_in_the_cache_is_fetched_again(server, tmp_path):
    (url,) = find_urls(["H1"], event="GW150914", host=address(server))
    path, _ = download(url, tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert download(url, tmp_path) == (path, True)
    assert path.read_bytes() == whole


def test_what_is_no_strain_is_not_kept(server, tmp_path):
    for path in server.folder.iterdir():
        path.write_bytes(b"<html>maintenance</html>")
    (url,) = find_urls(["H1"], event="GW150914", host=address(server))
    with pytest.raises(InputError, match="no strain file and was removed"):
        download(url, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_what_cannot_be_fetched(server, tmp_path):
    out = ("--output", tmp_path / "out")
    here = ("--host", address(server))
    assert_refused(run_command(*FETCH, "GW999999", *here, *out), "GW999999", "knows no such data", "404")
    assert_refused(run_command(*FETCH, "GW150914", "--detectors", "V1", *here, *out), "no strain of V1")
    assert_refused(run_command(*FETCH, "GW150914", "--host", "http://127.0.0.1:9", *out), "no answer")
    assert_refused(run_command(*FETCH, *here, *out), "name an event, or --run")
    assert_refused(run_command(*FETCH, "--run", "O1", *here, *out), "--start", "--duration")
    assert not (tmp_path / "out").exists()
    (tmp_path / "file").touch()
    assert_refused(run_command(*FETCH, "GW150914", *here, "--output", tmp_path / "file" / "x"), "cannot write there")


def test_a_full_disk_is_said(server, tmp_path, monkeypatch, capsys):
    import errno

    from keras_gw_resnet import cli
    from keras_gw_resnet.strain import fetch

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "out"))

    monkeypatch.setattr(fetch, "_receive", full)
    assert cli.main(["fetch", "GW150914", "--host", address(server), "--output", str(tmp_path / "out")]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert "No space left on device" in message


def test_a_good_file_is_never_removed(server, tmp_path):
    """Neither one that is locked, nor one that is there when the next transfer breaks off."""
    (url,) = find_urls(["H1"], event="GW150914", host=address(server))
    path, _ = download(url, tmp_path)
    whole = path.read_bytes()
    server.requests.clear()
    with path.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(InputError, match=r"cannot lock it.*HDF5_USE_FILE_LOCKING=FALSE"):
            download(url, tmp_path)
    assert path.read_bytes() == whole
    assert server.requests == []
    cut = whole[: len(whole) // 2]
    path.write_bytes(cut)
    server.broken = True
    with pytest.raises(InputError, match="give the same command again"):
        download(url, tmp_path)
    assert path.read_bytes() == cut
    server.broken = False
    assert download(url, tmp_path) == (path, True)
    assert path.read_bytes() == whole


def test_what_cannot_be_looked_into_is_kept(server, tmp_path, monkeypatch):
    monkeypatch.setattr("keras_gw_resnet.hdf5._is_available", lambda code: code < 256)
    (url,) = find_urls(["H1"], event="GW150914", host=address(server))
    (served,) = server.folder.glob("*H1*")
    with h5py.File(served, "r+") as file:
        del file["strain/Strain"]
        data = file.create_dataset(
            "strain/Strain", (4096 * 32,), "f8", chunks=(4096 * 32,), compression=32001, allow_unknown_filter=True
        )
        data.attrs.update(Xstart=100, Xspacing=1 / 4096)
        data.id.write_direct_chunk((0,), b"packed" * 100)
    for _ in range(2):
        with pytest.raises(InputError, match=r"compressed with blosc.*hdf5plugin"):
            download(url, tmp_path / "out")
        assert [p.name for p in (tmp_path / "out").iterdir()] == [served.name]
        assert (tmp_path / "out" / served.name).read_bytes() == served.read_bytes()


def test_a_part_that_is_whole_is_taken(server, tmp_path):
    """A fetch that was killed between the last byte and the renaming."""
    (url,) = find_urls(["H1"], event="GW150914", host=address(server))
    path, _ = download(url, tmp_path)
    path.rename(f"{path}.part")
    path.with_name(f"{path.name}.part.version").write_text(
        etag(path.with_name(f"{path.name}.part").read_bytes())["ETag"]
    )
    assert download(url, tmp_path) == (path, True)
    assert server.requests[-1][1] is not None
    assert [p.name for p in tmp_path.iterdir() if p.suffix in (".part", ".version")] == []


def test_two_fetches_of_one_file(server, tmp_path):
    (url,) = find_urls(["H1"], event="GW150914", host=address(server))
    started, go_on = threading.Event(), threading.Event()
    marks = server.marks

    def slow(data):
        started.set()
        go_on.wait(timeout=60)
        return marks(data)

    server.marks = slow
    results = []
    first = threading.Thread(target=lambda: results.append(download(url, tmp_path / "out")))
    first.start()
    assert started.wait(timeout=60)
    with pytest.raises(InputError, match="is being written by process"):
        download(url, tmp_path / "out")
    go_on.set()
    first.join(timeout=60)
    ((path, fetched),) = results
    assert fetched
    assert download(url, tmp_path / "out") == (path, False)
    assert list((tmp_path / "out").iterdir()) == [path]
