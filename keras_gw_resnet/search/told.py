"""What a search that follows a folder has told: its events, a JSON object a line, and what it needs to go on without loss or repetition."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_gw_resnet.errors import InputError
from keras_gw_resnet.files import check_output, written_aside
from keras_gw_resnet.hdf5 import attribute, open_hdf5
from keras_gw_resnet.inputs import LARGEST_TEXT, read_json
from keras_gw_resnet.search.background import Background, join_backgrounds, read_background, write_background
from keras_gw_resnet.search.candidates import CLUSTER_SECONDS, detectors_alone, finite_or_none, named_columns
from keras_gw_resnet.search.detector import THRESHOLD
from keras_gw_resnet.search.significance import judge
from keras_gw_resnet.strain.catalogue import names_at
from keras_gw_resnet.strain.conditioning import LEAST_PSD_SECONDS

if TYPE_CHECKING:
    from keras_gw_resnet.search.candidates import Candidates
    from keras_gw_resnet.search.detector import Detector
    from keras_gw_resnet.strain.layouts import SegmentHeader

# Events told so long before the newest are not needed to tell none twice.
REMEMBERED_SECONDS = 300.0
BLOCKS = "blocks"


@dataclass(frozen=True)
class Block:
    """What the slides of some strain gave.

    Attributes:
        start, stop: GPS seconds of the strain.
        searched: How much of it was searched.
        background: Background.
    """

    start: float
    stop: float
    searched: float
    background: Background


class Told:
    """The events that were told, on disk.

    An event is on disk before it is told, and how far the search has come after that: what is searched again after a kill is told once.

    Args:
        output: File of events, a JSON object a line; `.NAME.followed` beside it says how far the search has come, NAME-background.hdf holds
            the background.
        network: Detector.

    Attributes:
        searched_to: GPS second up to which all events are told; None: nothing was searched.

    Raises:
        InputError: The output is of another search, or no such search left it.
    """

    def __init__(self, output: Path, network: Detector) -> None:
        self.output, self.searched_to = Path(output), None
        self._state, self._background = self.files(self.output)[1:]
        self._detectors = network.detectors
        self._identity = {
            "model_sha256": network.card["sha256"],
            "detectors": list(network.detectors),
            "gate": network.whitening.gate,
            "precision": network.precision,
        }
        self._blocks: list[Block] = []
        self._times = np.empty(0)
        if self._state.exists():
            self._go_on(network)
        else:
            check_output(self.output)
            self.keep(None)
        self.output.touch()

    @staticmethod
    def files(output: Path) -> list[Path]:
        """Return the paths of all files that belong to an output."""
        beside = (f".{output.name}.followed", f"{output.stem}-background.hdf")
        return [output, *(output.with_name(name) for name in beside)]

    def _go_on(self, network):
        state = read_json(self._state, "how far a search has come; --overwrite begins anew")
        if not isinstance(state, dict) or state.get("search") != self._identity:
            raise InputError(
                f"{self.output}: is of another search than one with {network.name}; choose another --output, or add --overwrite"
            )
        searched = state.get("searched_to")
        self.searched_to = None if searched is None else float(searched)
        self._drop_half_a_line()
        self.remember(np.array([event["time"] for event in self._last_events()]))
        if self._background.exists():
            self._blocks = _read_blocks(self._background, network)

    def _drop_half_a_line(self):
        if self.output.exists():
            with self.output.open("rb+") as file:
                data = file.read()
                file.truncate(data.rfind(b"\n") + 1)

    def _last_events(self):
        if not self.output.exists():
            return []
        with self.output.open("rb") as file:
            file.seek(max(0, self.output.stat().st_size - LARGEST_TEXT))
            lines = file.read().splitlines()
        try:
            return [json.loads(line) for line in lines[-1000:]]
        except ValueError as error:
            raise InputError(
                f"{self.output}: is no file of events, a JSON object a line; choose another --output"
            ) from error

    @property
    def slid_to(self) -> float:
        """GPS second up to which strain was slid; minus infinity: none was."""
        return max((block.stop for block in self._blocks), default=-np.inf)

    def reached(self, held: Sequence[SegmentHeader]) -> str:
        """Say how far the search has come, in words, and where it has not begun, what the strain that is held lacks."""
        if self.searched_to is not None:
            return f"searched up to GPS {self.searched_to:.3f}"
        if lacking := [name for name in self._detectors if all(header.detector != name for header in held)]:
            return f"nothing was searched, as no strain of {' and '.join(lacking)} has come"
        return (
            f"nothing was searched, as {' and '.join(self._detectors)} have too little strain in common; "
            f"it takes {LEAST_PSD_SECONDS:g} s and more"
        )

    def holds(self, times: np.ndarray) -> np.ndarray:
        """Say which times are of an event that was told or remembered, boolean array (n,)."""
        return np.any(np.abs(times[:, None] - self._times) < CLUSTER_SECONDS, axis=1)

    def remember(self, times: Sequence[float] | np.ndarray) -> None:
        """Remember the GPS times of events, so that none of them is told again."""
        every = np.concatenate([self._times, times])
        self._times = every[every > every.max(initial=-np.inf) - REMEMBERED_SECONDS]

    def tell(self, event: dict) -> dict:
        """Write an event to the disk and return it."""
        with self.output.open("a") as file:
            file.write(json.dumps(event) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.remember([event["time"]])
        return event

    def keep(self, searched_to: float | None) -> None:
        """Write to the disk that all events up to a GPS second are told."""
        self.searched_to = searched_to
        with written_aside(self._state) as aside:
            aside.write_text(json.dumps({"search": self._identity, "searched_to": searched_to}) + "\n")

    def background(self, since: float) -> tuple[Background, float]:
        """Return the background of the strain since a GPS second, and how much strain was searched for it."""
        blocks = [block for block in self._blocks if block.stop > since]
        joined = join_backgrounds([block.background for block in blocks], len(self._detectors))
        return joined, sum(block.searched for block in blocks)

    def add(self, block: Block, network: Detector, since: float) -> None:
        """Add what the slides of a block gave, let go of those from before a GPS second, and write the background to the disk."""
        self._blocks = [each for each in [*self._blocks, block] if each.stop > since]
        joined, searched = self.background(since)
        blocks = np.array([(b.start, b.stop, b.searched, b.background.seconds) for b in self._blocks])
        attributes = {"model": network.name, "threshold": THRESHOLD, "strain_seconds": searched, **self._identity}
        write_background(joined, self._background, network.detectors, {**attributes, BLOCKS: blocks})


def _read_blocks(path, network):
    """Read the background of a followed search, block by block."""
    whole = read_background(path, network.card, THRESHOLD, network.precision)
    with open_hdf5(path, "the background of a followed search") as file:
        blocks = np.reshape(attribute(file, BLOCKS, np.empty((0, 4))), (-1, 4))
    found = []
    for start, stop, searched, seconds in blocks:
        own = np.all((whole.time >= start) & (whole.time <= stop), axis=1)
        kept = Background(whole.stat[own], whole.time[own], seconds, whole.slides, whole.alone[own], whole.light[own])
        found.append(Block(start, stop, searched, kept))
    return found


def described(found: Candidates, network: Detector, background: Background, searched: float) -> list[dict]:
    """Return what is known of each event, as JSON takes it.

    Args:
        found: Candidates.
        network: Detector that found them.
        background: Background of slides; without seconds there are no rates.
        searched: Seconds that were searched.
    """
    columns = named_columns(found)
    columns |= {f"stat_{name}": own for name, own in zip(network.detectors, found.alone.T, strict=False)}
    if found.alone.shape[1]:
        columns["one_detector"] = detectors_alone(found, network.detectors)
    columns["gated"] = np.any(found.gated, axis=1)
    columns["catalogue"] = names_at(found.time)
    if background.seconds and len(found):
        columns |= judge(found, background, network.card, searched, THRESHOLD, slid=False)[1]
    plain = {name: [finite_or_none(value) for value in column.tolist()] for name, column in columns.items()}
    return [{name: own[row] for name, own in plain.items()} for row in range(len(found))]
