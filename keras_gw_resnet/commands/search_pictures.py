"""The pictures of the command 'search'."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from keras_gw_resnet.files import written_aside

if TYPE_CHECKING:
    from keras_gw_resnet.search.detector import Detector


def draw_search(
    args: argparse.Namespace,
    network: Detector,
    events: tuple,
    said: tuple,
    snapshots: Sequence,
    attributes: dict,
    stack: contextlib.ExitStack,
) -> list[Path]:
    """Draw into files that stand at their places when `stack` ends; return their paths."""
    from keras_gw_resnet.evaluation.candidate_plots import draw_event
    from keras_gw_resnet.evaluation.plots import save
    from keras_gw_resnet.evaluation.report import write_search_report

    if args.plot:
        where = ", ".join(attributes["files"][:4])
        title = f"{where}\nloudest event, statistic {snapshots[0].stat:.1f} ({network.name})"
        marks = snapshots[0].marks(network.detectors, said[-1])
        save(draw_event(snapshots[0], network.detectors, title, marks), stack.enter_context(written_aside(args.plot)))
    if args.report:
        aside = stack.enter_context(written_aside(args.report))
        write_search_report(aside, network, (events[0], events[1][: 10 * args.top]), snapshots, attributes, *said)
    return [path for path in (args.plot, args.report) if path]
