"""What --or adds to the command 'search': a network of fewer detectors for strain that lacks one."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from keras_gw_resnet.errors import InputError

if TYPE_CHECKING:
    from keras_gw_resnet.search.candidates import Candidates
    from keras_gw_resnet.search.detector import Detector
    from keras_gw_resnet.search.results import Found
    from keras_gw_resnet.strain.layouts import SegmentHeader


def check_fewer(args: argparse.Namespace, cards: Sequence[dict]) -> None:
    """Raise InputError where --or does not go with the other options, or names no network of fewer detectors.

    Args:
        args: Of the command.
        cards: Those of MODEL and of the network of --or.
    """
    if not args.fewer:
        return
    if args.also or args.background:
        raise InputError(f"--or does not go with {'--also' if args.also else '--background'}; give one of them")
    own, fewer = (card["detectors"] for card in cards)
    if not set(fewer) < set(own):
        raise InputError(
            f"--or {args.fewer}: takes {' and '.join(fewer)}; expected a network of some of {', '.join(own)}, not of all"
        )


def note_detectors(args: argparse.Namespace, headers: Sequence[SegmentHeader], cards: Sequence[dict]) -> None:
    """Say which detectors of the files are not searched, and where those of MODEL have no time in common.

    Raises:
        InputError: One of more than two is absent, and there is no --or.
    """
    from keras_gw_resnet.strain.intervals import have_common

    present, own = sorted({h.detector for h in headers}), cards[0]["detectors"]
    unused = [name for name in present if name not in own]
    if unused and set(own) <= set(present):
        print(
            f"NOTE: {' and '.join(unused)} in the files is not searched; {cards[0]['name']} takes {' and '.join(own)}"
        )
    absent = [name for name in own if name not in present]
    if 0 < len(absent) < len(own) - 1 and not args.fewer:
        raise InputError(
            f"{headers[0].path}: no strain of {' and '.join(absent)} (found {', '.join(present)}); give files for {', '.join(own)}, or "
            "--or MODEL, a network of fewer detectors, for example --or flagship for H1 and L1"
        )
    if args.fewer and not have_common(headers, own):
        what = f"no strain of {' and '.join(absent)}" if absent else f"{', '.join(own)} have no time in common"
        print(f"NOTE: {what}; all is searched with {cards[-1]['name']}")


def common_of(args: argparse.Namespace, headers: Sequence[SegmentHeader], card: dict) -> list:
    """Return the intervals that all detectors of a network have, see `intervals_of`; with --or there need be none."""
    from keras_gw_resnet.strain.intervals import have_common, intervals_of

    return (
        [] if args.fewer and not have_common(headers, card["detectors"]) else intervals_of(headers, card["detectors"])
    )


def searched_of(headers: Sequence[SegmentHeader], found: Found) -> list:
    """Return [GPS start, GPS stop, origin] of what a network searched."""
    from keras_gw_resnet.strain.intervals import origin_of

    return [[*own, origin_of(headers, *own)] for own in found.intervals]


def names_of(network: Detector, events: Candidates) -> dict:
    """Return the columns that say which network found each event in which detectors."""
    import numpy as np

    texts = {"network": network.name, "detectors": "+".join(network.detectors)}
    return {name: np.full(len(events), text) for name, text in texts.items()}


def together(judged: Sequence[tuple], top: int) -> list[str]:
    """Return the lines of a table of the events of both networks, see `event_table.joined_table`; without rates those of a note."""
    from keras_gw_resnet.commands.printing import table
    from keras_gw_resnet.evaluation.event_table import joined_table

    given = [own for own in judged if len(own[1])]
    if len(given) < 2:
        return []
    if not all("far" in columns for *_, columns in given):
        return ["NOTE: statistics of two networks do not compare; --slides gives false-alarm rates, which do"]
    header, rows = joined_table(given, top)
    return ["All events, by false-alarm rate:", table(rows, header)]
