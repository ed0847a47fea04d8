"""Fetch open strain data of the Gravitational Wave Open Science Center (gwosc.org) into a cache."""

import os
import re
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path

from keras_gw_resnet.errors import InputError, UnreadableError
from keras_gw_resnet.files import HDF5_SUFFIXES, written_aside
from keras_gw_resnet.owners import owned
from keras_gw_resnet.progress import Bar
from keras_gw_resnet.strain.files import find_segments
from keras_gw_resnet.strain.shipped import SHIPPED, shipped_files

GWOSC = "https://gwosc.org"
CHUNK_BYTES = 1 << 16
TIMEOUT_SECONDS = 30


def cache_folder() -> Path:
    """Return the folder where fetched strain is kept: keras_gw_resnet/gwosc in the user's cache."""
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "keras_gw_resnet" / "gwosc"


def find_urls(
    detectors: Sequence[str],
    *,
    event: str | None = None,
    seconds: int = 32,
    run: str | None = None,
    start: float | None = None,
    duration: float | None = None,
    sample_rate: int = 4096,
    host: str = GWOSC,
) -> list[str]:
    """Ask GWOSC for the strain files of an event, or of an interval of an observing run.

    Args:
        detectors: Names.
        event: Name of an event, for example "GW150914".
        seconds: Length of the event's files: 32 or 4096.
        run: Name of an observing run, for example "O3a".
        start, duration: GPS start and seconds of the interval.
        sample_rate: 4096 or 16384 Hz.
        host: Address of the server.

    Returns:
        List of addresses of HDF5 files.

    Raises:
        InputError: Unknown event or run, a detector without data there, or no answer.
    """
    import requests
    import tenacity
    from gwosc.api import v2
    from gwosc.locate import get_event_urls, get_run_urls

    what = event or f"{run} from GPS {start} to {start + duration}"
    # Answers are kept by the client for the life of the process, wrong ones too.
    v2.JSON_CACHE.clear()
    urls = []
    for detector in detectors:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of files of 32 s that newer events do not have: the bulk files serve
                if event:
                    options = {"duration": seconds, "sample_rate": sample_rate, "host": host}
                    found = get_event_urls(event, detector=detector, **options)
                else:
                    found = get_run_urls(run, detector, start, start + duration, sample_rate=sample_rate, host=host)
        except requests.HTTPError as error:
            status = error.response.status_code
            raise InputError(f"{what}: GWOSC at {host} knows no such data (status {status}); check the name") from error
        except (requests.RequestException, tenacity.RetryError, OSError) as error:
            raise InputError(f"{host}: no answer ({type(error).__name__}); check the network and try again") from error
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{host}: its answer about {what} cannot be understood; try again later") from error
        if not found:
            raise InputError(
                f"{what}: GWOSC has no strain of {detector} at {sample_rate} Hz there; leave {detector} out"
            )
        urls.extend(url for url in found if url.endswith(HDF5_SUFFIXES))
    return urls


def shipped_strain(event: str | None, detectors: Sequence[str], seconds: int, sample_rate: int) -> list[Path]:
    """Return the files of an event that ship with the project, where those are what `find_urls` is asked for; else none."""
    found = {path.name[2:4]: path for path in shipped_files(event)} if event in SHIPPED else {}
    there = (seconds, sample_rate) == (32, 4096) and set(detectors) <= set(found)
    return [found[name] for name in detectors] if there else []


def copy_shipped(path: Path, folder: Path) -> tuple[Path, bool]:
    """Copy a file that ships with the project into a folder; returns what `download` does."""
    target = folder / path.name
    with owned(target, "choose another --output"):
        if target.exists() and _is_strain(target):
            return target, False
        with written_aside(target) as aside:
            shutil.copyfile(path, aside)
        return target, True


def download(url: str, folder: Path) -> tuple[Path, bool]:
    """Fetch one file, going on where an interrupted transfer stopped; a file that is there already is not fetched.

    Args:
        url: Its address.
        folder: Where to put it.

    Returns:
        Tuple (path, fetched): pathlib.Path and whether anything was transferred.

    Raises:
        InputError: The transfer broke off, was refused, what came is no strain file, or another process fetches the file; what had
            arrived is kept in a `.part` file for the next call, with the server's mark of its version in `.part.version`.
            The next call goes on there only where the server still has that version. A file that was there stays until
            another one, whole, takes its place.
        UnreadableError: The file is there, but cannot be looked into: it is locked, or a filter is missing.
    """
    target = Path(folder) / re.sub(r"[^\w.-]", "_", url.split("?", maxsplit=1)[0].rsplit("/", 1)[-1])
    if not target.name.endswith(HDF5_SUFFIXES):
        raise InputError(f"{url}: names no HDF5 file; expected an address that ends in {', '.join(HDF5_SUFFIXES)}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{target}: cannot be written ({error.strerror}); choose another --output") from error
    if target.is_dir():
        raise InputError(f"{target}: is a folder; remove it, or choose another --output")
    with owned(target, "choose another --output"):
        if target.exists() and _is_strain(target):
            return target, False
        return _fetch(url, target), True


def _is_strain(path):
    """Say whether a file holds strain; raise UnreadableError where that cannot be said."""
    try:
        find_segments(path)
    except UnreadableError:
        raise
    except InputError:
        return False
    return True


def _fetch(url, target):
    import requests

    part, mark = target.with_name(target.name + ".part"), target.with_name(target.name + ".part.version")
    try:
        done = part.stat().st_size if part.exists() and mark.exists() else 0
        # Compressed on the way, a part would be a part of something else.
        headers = {"Accept-Encoding": "identity"}
        if done:
            headers.update({"Range": f"bytes={done}-", "If-Range": mark.read_text()})
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_SECONDS) as answer:
            if answer.status_code == 416:  # nothing is left to send, or the file has changed
                if not _is_strain(part):
                    mark.unlink(missing_ok=True)
                    return _fetch(url, target)
                total = done
            else:
                answer.raise_for_status()
                if answer.status_code != 206:
                    done = 0
                    part.unlink(missing_ok=True)
                    _write_mark(answer, mark)
                total = done + int(answer.headers.get("Content-Length", 0))
                _receive(answer, part, done, total)
    except OSError as error:
        if isinstance(error, requests.RequestException):
            raise _transfer_error(url, error) from error
        raise InputError(f"{part}: cannot be written ({error.strerror}); choose another --output") from error
    if total and part.stat().st_size != total:
        raise InputError(
            f"{url}: the transfer ended after {part.stat().st_size} of {total} bytes; give the same command again"
        )
    mark.unlink(missing_ok=True)
    return _accept(part, target)


def _write_mark(answer, mark):
    """Keep what tells this version of the file from others: its ETag or its date; nothing where neither does."""
    etag, date = (answer.headers.get(name, "") for name in ("ETag", "Last-Modified"))
    version = date if etag.startswith("W/") else etag or date
    if version:
        mark.write_text(version)
    else:
        mark.unlink(missing_ok=True)


def _transfer_error(url, error):
    import requests

    if isinstance(error, requests.HTTPError):
        return InputError(f"{url}: refused with status {error.response.status_code}; try again later")
    return InputError(f"{url}: the transfer broke off; give the same command again")


def _receive(answer, part, done, total):
    with (
        part.open("ab" if done else "wb") as file,
        Bar(
            total=total or None,
            initial=done,
            desc=part.stem,
            unit="B",
            unit_scale=True,
        ) as bar,
    ):
        for chunk in answer.iter_content(CHUNK_BYTES):
            file.write(chunk)
            bar.update(len(chunk))


def _accept(part, target):
    """Give what has arrived its name, unless it is no strain."""
    try:
        find_segments(part)
    except UnreadableError as error:
        part.replace(target)
        raise UnreadableError(str(error).replace(str(part), str(target))) from error
    except InputError as error:
        part.unlink()
        raise InputError(
            f"{target}: what was fetched is no strain file and was removed ({str(error).removeprefix(f'{part}: ')})"
        ) from error
    part.replace(target)
    return target
