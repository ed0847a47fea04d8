"""Windows that come with their labels, in place of noise, signals and negatives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from keras_gw_resnet.datasets.windows import (
    SPLIT_SEED,
    WindowsHeader,
    check_windows,
    open_windows,
    sample_of,
    split_windows,
)

if TYPE_CHECKING:
    import numpy as np

    from keras_gw_resnet.training.config import TrainingConfig


@dataclass(frozen=True)
class Windows:
    """A file of labelled windows.

    Attributes:
        header: WindowsHeader.
    """

    header: WindowsHeader

    @classmethod
    def open(cls, config: TrainingConfig) -> Windows:
        """Read what the file holds, not the windows.

        Raises:
            InputError: It cannot be read, or its windows are of another shape than the run asks for.
        """
        data = config.data
        header = open_windows(data.path)
        header.require(data.window_samples, data.detectors, data.whitening.sample_rate, "the run asks for")  # ty: ignore[invalid-argument-type]
        return cls(header)

    def split(self, share: float) -> tuple[np.ndarray, np.ndarray]:
        """Return (rows, rows held out), integer arrays.

        Raises:
            InputError: Too few windows, of one kind alone, or not whitened.
        """
        parts = split_windows(self.header, share, SPLIT_SEED)
        for rows in parts:
            check_windows(self.header, rows)
        return parts

    def fingerprint(self, rows: np.ndarray, held_out: np.ndarray) -> dict:
        """Return the file, and which windows of it are trained on and held out."""
        return {
            "windows": {
                "file": Path(self.header.path).name,
                "trained_on": self.header.hashes(sample_of(rows)),
                "held_out": self.header.hashes(sample_of(held_out)),
            },
            "number": len(rows),
            "held_out": len(held_out),
        }
