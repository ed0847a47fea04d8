"""Files that TensorBoard reads, written without TensorFlow, so that any backend can."""

from __future__ import annotations

import io
import itertools
import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras
    from matplotlib.figure import Figure

THRESHOLDS = 201
DOTS_PER_INCH = 90
_numbers = itertools.count()


class TensorBoardFile:
    """A file of events in a folder; every event is whole on disk when the call returns.

    Args:
        folder: Made where it is absent; TensorBoard shows it as one run.
    """

    def __init__(self, folder: Path | str) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.summary.writer.record_writer import RecordWriter

        Path(folder).mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{os.getpid()}.{next(_numbers)}"
        self._writer = RecordWriter((Path(folder) / name).open("wb"))
        self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))

    def _write(self, event):
        self._writer.write(event.SerializeToString())
        self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        self._writer.close()

    def add(self, summary: Any, step: int = 0) -> None:
        """Add a summary."""
        from tensorboard.compat.proto.event_pb2 import Event

        self._write(Event(wall_time=time.time(), step=step, summary=summary))

    def _add_tensor(self, tag, values, metadata, step):
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.util.tensor_util import make_tensor_proto

        self.add(Summary(value=[Summary.Value(tag=tag, metadata=metadata, tensor=make_tensor_proto(values))]), step)

    def scalar(self, tag: str, value: Any, step: int) -> None:
        """Add a number."""
        from tensorboard.plugins.scalar.summary_v2 import scalar_pb

        self.add(scalar_pb(tag, float(value)), step)

    def text(self, tag: str, value: str) -> None:
        """Add text in Markdown."""
        from tensorboard.plugins.text.summary_v2 import text_pb

        self.add(text_pb(tag, value))

    def histogram(self, tag: str, values: np.ndarray, step: int) -> None:
        """Add the histogram of an array."""
        from tensorboard.plugins.histogram.summary_v2 import histogram_pb

        self.add(histogram_pb(tag, np.asarray(values, np.float64)), step)

    def picture(self, tag: str, figure: Figure, step: int) -> None:
        """Add a matplotlib figure."""
        from tensorboard.plugins.image.metadata import create_summary_metadata

        drawn = io.BytesIO()
        figure.savefig(drawn, format="png", dpi=DOTS_PER_INCH)
        size = [str(int(inches * DOTS_PER_INCH)).encode() for inches in figure.get_size_inches()]
        metadata = create_summary_metadata(display_name=None, description=None, converted_to_tensor=True)
        self._add_tensor(tag, [*size, drawn.getvalue()], metadata, step)

    def precision_recall(self, tag: str, probability: np.ndarray, signal: np.ndarray, step: int) -> None:
        """Add the curve of precision against recall.

        Args:
            tag: Its name.
            probability: Array (n,) from 0 to 1.
            signal: Boolean array (n,).
            step: Epoch.
        """
        from tensorboard.plugins.pr_curve.metadata import create_summary_metadata

        bins = np.floor(probability * (THRESHOLDS - 1)).astype(int)
        counts = [np.bincount(bins[kind], minlength=THRESHOLDS)[::-1].cumsum()[::-1] for kind in (signal, ~signal)]
        found, false = (c.astype(np.float32) for c in counts)
        least = np.float32(1e-7)
        rows = [found, false, false[0] - false, found[0] - found]
        rows += [found / np.maximum(found + false, least), found / np.maximum(found[0], least)]
        metadata = create_summary_metadata(display_name=tag, description="", num_thresholds=THRESHOLDS)
        self._add_tensor(tag, np.stack(rows).astype(np.float32), metadata, step)

    def graph(self, model: keras.Model) -> None:
        """Add the graph of a `keras.Model`."""
        from tensorboard.compat.proto.summary_pb2 import SummaryMetadata

        plugin = SummaryMetadata.PluginData(plugin_name="graph_keras_model", content=b"1")
        self._add_tensor("keras", model.to_json().encode(), SummaryMetadata(plugin_data=plugin), 0)


def write_pictures(folder: Path | str, figures: Mapping[str, Figure], step: int = 0) -> None:
    """Write matplotlib figures by name as one run of TensorBoard."""
    run = TensorBoardFile(folder)
    for name, figure in figures.items():
        run.picture(name, figure, step)
    run.close()
