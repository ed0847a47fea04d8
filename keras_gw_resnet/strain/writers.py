"""Write strain files in the layouts that `files.py` reads."""

import contextlib
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

import numpy as np

from keras_gw_resnet.files import new_hdf5, written_aside


@contextlib.contextmanager
def mlgwsc1_file(
    path: Path | str, detectors: Sequence[str], sample_rate: int, *, compress: bool = True, **attributes
) -> Generator[Callable]:
    """Open a new file in the MLGWSC-1 layout (arXiv 2209.11146); it appears at `path` when the block ends well.

    Args:
        path: HDF5 file to write.
        detectors: Names.
        sample_rate: Samples per second.
        compress: Whether to spend time on a tenth of the file's size.
        **attributes: Further root attributes.

    Yields:
        Function add(detector, gps_start, strain, **attributes) that writes one segment; `gps_start` is a whole
        GPS second, `strain` a float64 array.
    """
    with written_aside(path) as aside, new_hdf5(aside) as file:
        file.attrs.update(detectors=list(detectors), sample_rate=sample_rate, **attributes)

        def add(detector, gps_start, strain, **own):
            filters = {"compression": "gzip", "shuffle": True} if compress else {}
            dataset = file.create_dataset(f"{detector}/{int(gps_start)}", data=strain, **filters)
            dataset.attrs.update(start_time=float(gps_start), delta_t=1 / sample_rate, **own)

        yield add


def write_gwosc(
    path: Path | str, detector: str, gps_start: float, sample_rate: int, strain: np.ndarray, description: str
) -> None:
    """Write one detector's strain in the layout of the Gravitational Wave Open Science Center (gwosc.org).

    Args:
        path: HDF5 file to write.
        detector: "H1", "L1", ...
        gps_start: Whole GPS second of the first sample.
        sample_rate: Samples per second.
        strain: float64 array of whole seconds; seconds with a NaN are flagged as without data.
        description: Goes into meta/Description; has to say so where the strain is simulated.
    """
    seconds = len(strain) // int(sample_rate)
    has_data = np.isfinite(strain[: seconds * int(sample_rate)]).reshape(seconds, -1).all(axis=1)
    with written_aside(path) as aside, new_hdf5(aside) as file:
        dataset = file.create_dataset("strain/Strain", data=strain, compression="gzip", shuffle=True)
        dataset.attrs.update(
            Npoints=len(strain), Xstart=int(gps_start), Xspacing=1 / sample_rate, Xunits="second", Ylabel="Strain"
        )
        for name, value in (
            ("Description", description),
            ("Detector", detector),
            ("Observatory", detector[0]),
            ("GPSstart", int(gps_start)),
            ("Duration", seconds),
        ):
            file[f"meta/{name}"] = value
        mask = file.create_dataset("quality/simple/DQmask", data=has_data.astype(np.uint32))
        mask.attrs.update(Xstart=int(gps_start), Xspacing=1.0, Npoints=seconds)
        file["quality/simple/DQShortnames"] = np.array([b"DATA"])
