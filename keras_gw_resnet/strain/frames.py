"""Gravitational-wave frames (GWF, LIGO-T970130), read with LALFrame, a part of lalsuite.

LALFrame does not survive a file that was cut off or damaged, so length and checksum are looked at before.
"""

from __future__ import annotations

import contextlib
import struct
import zlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import import_module
from pathlib import Path

import numpy as np

from keras_gw_resnet.errors import MALFORMED, InputError, first_line
from keras_gw_resnet.inputs import require_file
from keras_gw_resnet.strain.layouts import DETECTORS, SegmentHeader, sample_rate_of, start_of

KINDS = ("Adc", "Proc", "Sim")
# What a frame file begins with, and the length of the structure that it ends with by version (LIGO-T970130): its own length, behind
# `LENGTH_AT` bytes that of the file, and in version 8 at last the checksum of all before, as of POSIX's cksum.
MAGIC, HEADER_BYTES, END_BYTES, LENGTH_AT = b"IGWD\0", 40, {8: 46, 6: 42}, 18
CHECKED_BYTES = 1 << 24
REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
# Types of LAL's series of real numbers.
TYPES = {1: "INT2", 2: "INT4", 3: "INT8", 10: "REAL4", 11: "REAL8"}


def frame_headers(path: Path, quality: Sequence[str], channels: Mapping[str, str]) -> list[SegmentHeader]:
    """List the strain of a frame file, a SegmentHeader a frame and detector, without reading it.

    Of several channels of a detector the one whose name says strain is taken.

    Args:
        path: File.
        quality: Flags that the strain has to fulfil; frames have none that are read.
        channels: {detector: name of its channel}.

    Raises:
        InputError: It is no whole frame file, holds no strain, or several channels that may be.
    """
    if quality:
        raise InputError(
            f"{path}: flags of frames are not read; {' '.join(quality)} can be asked of GWOSC's HDF5 files"
        )
    with _opened(path) as (frame, table, file):
        names = _names(frame, table)
        headers = []
        for detector in DETECTORS:
            own = [name for name in names if name.split(":")[0] == detector]
            if not own:
                continue
            channel = _chosen(path, detector, own, channels.get(detector))
            for position in range(frame.FrameUFrTOCQueryNFrame(table)):
                series = getattr(frame, f"FrFileRead{_type(frame, file, channel, position, path)}TimeSeriesMetadata")(
                    file, channel, position
                )
                headers.append(
                    SegmentHeader(
                        path=str(path),
                        dataset=channel,
                        detector=detector,
                        gps_start=start_of(path, channel, float(series.epoch)),
                        sample_rate=sample_rate_of(path, channel, series.deltaT),
                        samples=frame.FrFileQueryChanVectorLength(file, channel, position),
                    )
                )
    if not headers:
        raise InputError(f"{path}: holds no channel of a detector ({', '.join(names[:4]) or 'none at all'})")
    return headers


def read_frame(header: SegmentHeader) -> np.ndarray:
    """Read the strain of one frame, float64 array (samples,); the last two are kept, as long frames are read in pieces.

    Raises:
        InputError: The file has changed or cannot be read.
    """
    found = require_file(header.path, "strain in frames").stat()
    return _read(header, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=2)
def _read(header, size, modified):
    path, channel = Path(header.path), header.dataset
    with _opened(path) as (frame, table, file):
        for position in range(frame.FrameUFrTOCQueryNFrame(table)):
            read = getattr(frame, f"FrFileRead{_type(frame, file, channel, position, path)}TimeSeries")
            series = read(file, channel, position)
            if abs(float(series.epoch) - header.gps_start) < 0.5 * series.deltaT:
                return np.array(series.data.data, np.float64)
    raise InputError(f"{path}: {channel} has changed since it was looked at; start again")


@contextlib.contextmanager
def _opened(path):
    """Open a frame file; yield LALFrame, the table of contents and the file."""
    try:
        lal, frame = map(import_module, ("lal", "lalframe"))
    except ImportError as error:
        raise InputError(f"{path}: frames are read with LALFrame; pip install lalsuite") from error
    _require_whole(path)
    level = lal.GetDebugLevel()
    lal.ClobberDebugLevel(0)  # the error says it all
    try:
        whole = frame.FrameUFrFileOpen(str(path), "r")  # the table lives as long as it
        yield frame, frame.FrameUFrTOCRead(whole), frame.FrFileOpenURL(str(path))
    except InputError:
        raise
    except MALFORMED as error:
        raise InputError(f"{path}: cannot be read as frames ({first_line(error)}); fetch or write it again") from error
    finally:
        lal.ClobberDebugLevel(level)


def _require_whole(path):
    """Raise InputError unless a file begins as frames do, and its length and its checksum are those that its end says."""
    size = require_file(path, "strain in frames").stat().st_size
    with Path(path).open("rb") as file:
        head = file.read(HEADER_BYTES)
        if not head.startswith(MAGIC) or len(head) < HEADER_BYTES or head[5] not in END_BYTES:
            raise InputError(f"{path}: is no frame file of version 6 or 8; expected one that begins with IGWD")
        length = END_BYTES[head[5]]
        file.seek(max(0, size - length))
        end = file.read()
        # Bytes 12 and 13 of the header are 0x1234 in the order of the machine that wrote it.
        order = "<" if head[12:14] == b"\x34\x12" else ">"
        said = struct.unpack_from(f"{order}Q{LENGTH_AT - 8}xQ", end) if len(end) == length else ()
        if said != (length, size):
            raise InputError(f"{path}: was cut off, or is still being written; fetch or write it again")
        (expected,) = struct.unpack(f"{order}I", end[-4:])
        file.seek(0)
        if head[5] == max(END_BYTES) and expected and _checksum(file, size - 4) != expected:
            raise InputError(f"{path}: its checksum is wrong; it is damaged, fetch or write it again")


def _checksum(file, size):
    """Return POSIX's cksum of the first bytes of a file: the CRC of zlib with all bits the other way round."""
    crc, left = 0xFFFFFFFF, size
    while left > 0 and (piece := file.read(min(left, CHECKED_BYTES))):
        crc, left = zlib.crc32(piece.translate(REVERSED), crc), left - len(piece)
    crc = zlib.crc32(size.to_bytes((size.bit_length() + 7) // 8, "little").translate(REVERSED), crc)
    return int(f"{crc:032b}"[::-1], 2)


def _names(frame, table):
    numbers = {kind: getattr(frame, f"FrameUFrTOCQuery{kind}N")(table) for kind in KINDS}
    return [
        getattr(frame, f"FrameUFrTOCQuery{k}Name")(table, i) for k, number in numbers.items() for i in range(number)
    ]


def _chosen(path, detector, own, asked):
    """Return the channel of a detector's strain."""
    if asked is not None and asked not in own:
        raise InputError(f"{path}: has no channel {asked} of {detector}; it has {', '.join(own[:4])}")
    strain = [asked] if asked else [name for name in own if "strain" in name.lower()] or own
    if len(strain) > 1:
        raise InputError(
            f"{path}: holds several channels of {detector}: {', '.join(strain[:4])}; choose with --channel {detector}=NAME"
        )
    return strain[0]


def _type(frame, file, channel, position, path):
    number = frame.FrFileQueryChanType(file, channel, position)
    if number not in TYPES:
        raise InputError(f"{path}: {channel} is no series of real numbers (LAL type {number})")
    return TYPES[number]
