"""The events of a search as a sequence, and as the tables of other packages, each of which is asked for only when it is wanted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from importlib import import_module
from typing import Any

import numpy as np

from keras_gw_resnet.errors import InputError
from keras_gw_resnet.search.candidates import Candidates, named_columns
from keras_gw_resnet.search.ranks import YEAR_SECONDS
from keras_gw_resnet.strain.stretches import Coverage

PROGRAM = "keras-gw-resnet"


@dataclass(frozen=True, repr=False)
class Events(Candidates):
    """Candidates that say where they come from.

    `for event in events` gives a dictionary for each, `events[3]` the fourth, `events[events.stat > 5]` some of them.

    Attributes:
        detectors: Names, in column order.
        network: Name of the network.
        coverage: What became of the strain, Coverage; None: not known.
        described: Further arrays (n,) by name, as `results.describing_columns` gives them.
    """

    detectors: tuple[str, ...] = ()
    network: str = ""
    coverage: Coverage | None = None
    described: Mapping[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def of(cls, candidates: Candidates, **more) -> Events:
        """Return Candidates with what is known about them."""
        return cls(**{own.name: getattr(candidates, own.name) for own in fields(Candidates)}, **more)

    def select(self, chosen: np.ndarray) -> Events:
        """Return the events that an index or a boolean array chooses."""
        own = {column.name: getattr(self, column.name)[chosen] for column in fields(Candidates)}
        return replace(self, **own, described={name: column[chosen] for name, column in self.described.items()})

    def __getitem__(self, chosen: Any) -> Any:
        """Return one event, a dictionary, of a number; Events of a slice, an index or a boolean array."""
        if isinstance(chosen, int | np.integer):
            return {name: column[chosen].item() for name, column in self.columns().items()}
        return self.select(chosen)

    def __iter__(self) -> Iterator[dict]:
        """Yield a dictionary for each event."""
        names = list(self.columns())
        for row in zip(*(column.tolist() for column in self.columns().values()), strict=True):
            yield dict(zip(names, row, strict=True))

    def __repr__(self):
        said = f"{len(self)} event{'s' * (len(self) != 1)}"
        if self.coverage is not None:
            own = self.coverage
            said += (
                f" in {own.given:.1f} s of {'+'.join(self.detectors)} strain (invalid and skipped {own.invalid:.1f} s, "
            )
            said += f"too short and skipped {own.short:.1f} s)"
        said += f", {self.network}" * bool(self.network)
        if len(self):
            loudest = int(np.argmax(self.stat))
            said += f"; the loudest: {self.stat[loudest]:.2f} at GPS {self.time[loudest]:.3f}"
        return f"<Events: {said}>"

    def columns(self) -> dict[str, np.ndarray]:
        """Return all columns by name, arrays (n,): time, stat, var, and what is known beside them."""
        return named_columns(self, self.described)

    def to_pandas(self) -> Any:
        """Return a pandas DataFrame, an event a row.

        Raises:
            InputError: pandas is not installed.
        """
        return _needed("pandas", "pandas").DataFrame(self.columns())

    def to_table(self) -> Any:
        """Return an EventTable of gwpy, or a Table of astropy where gwpy is not installed, an event a row.

        Raises:
            InputError: Neither is installed.
        """
        meta = {"network": self.network, "detectors": list(self.detectors)}
        try:
            kind = import_module("gwpy.table").EventTable
        except ImportError:
            kind = _needed("astropy.table", "astropy").Table
        return kind(self.columns(), meta=meta)

    def to_ligolw(self) -> Any:
        """Return a LIGO-LW document: a `coinc_inspiral` an event, and a `sngl_inspiral` for each of its detectors.

        The ranking statistic is the `likelihood` of the `coinc_event`, a false-alarm rate, where it is known, the `combined_far` (Hz).
        A network finds no signal-to-noise ratio and no masses: these columns are left out. `igwn_ligolw.utils.write_filename` writes it.

        Raises:
            InputError: igwn-ligolw is not installed.
        """
        ligolw, tables = (_needed(f"igwn_ligolw.{name}", "igwn-ligolw") for name in ("ligolw", "lsctables"))
        document = ligolw.Document()
        root = document.appendChild(ligolw.LIGO_LW())
        process = document.register_process(PROGRAM, {"model": self.network}, instruments=self.detectors)
        columns = {name: list(own) for name, own in LIGOLW.items()}
        columns["CoincInspiralTable"] += ["combined_far"] * ("far" in self.described)
        made = {name: root.appendChild(tables.__dict__[name].new(own)) for name, own in columns.items()}

        def add(name, **values):
            made[name].append(made[name].RowType(**values))

        about = {"search": PROGRAM, "search_coinc_type": 0, "description": f"events of the network {self.network}"}
        add("CoincDefTable", coinc_def_id=0, **about)
        shared = {"process_id": process.process_id, "coinc_def_id": 0}
        for number, event in enumerate(self):
            nanoseconds = round(event["time"] * 1e9)
            end = dict(zip(("end_time", "end_time_ns"), divmod(nanoseconds, 10**9), strict=True))
            names = ",".join(sorted(self.detectors))
            found = {"instruments": names, "nevents": len(self.detectors), "likelihood": event["stat"]}
            add("CoincTable", coinc_event_id=number, **shared, **found)
            far = {"combined_far": event["far"] / YEAR_SECONDS} if "far" in event else {}
            add("CoincInspiralTable", coinc_event_id=number, ifos=names, **end, **far)
            for column, detector in enumerate(self.detectors):
                own = number * len(self.detectors) + column
                add(
                    "SnglInspiralTable",
                    process_id=process.process_id,
                    event_id=own,
                    ifo=detector,
                    search=PROGRAM,
                    **end,
                )
                add("CoincMapTable", coinc_event_id=number, table_name="sngl_inspiral", event_id=own)
        return document


# Columns of the LIGO-LW tables that are written.
LIGOLW = {
    "CoincDefTable": ("coinc_def_id", "search", "search_coinc_type", "description"),
    "CoincTable": (
        *("coinc_event_id", "process:process_id", "coinc_definer:coinc_def_id"),
        *("instruments", "nevents", "likelihood"),
    ),
    "CoincInspiralTable": ("coinc_event:coinc_event_id", "ifos", "end_time", "end_time_ns"),
    "SnglInspiralTable": ("process:process_id", "event_id", "ifo", "search", "end_time", "end_time_ns"),
    "CoincMapTable": ("coinc_event:coinc_event_id", "table_name", "event_id"),
}


def _needed(module, package):
    """Import a module of a package that is not always there."""
    try:
        return import_module(module)
    except ImportError as error:
        raise InputError(f"this needs the package {package}: pip install {package}") from error
