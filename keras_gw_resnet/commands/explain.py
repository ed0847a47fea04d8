"""The command 'explain'."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from keras_gw_resnet.backend import load_keras
from keras_gw_resnet.commands.arguments import (
    add_command,
    add_consistency,
    add_gate,
    add_overwrite,
    add_quality,
    finite,
    path_of,
    picture,
)
from keras_gw_resnet.commands.printing import shown, table
from keras_gw_resnet.files import check_output, refuse_input, written_aside

if TYPE_CHECKING:
    from keras_gw_resnet.search.explain import Explanation


def add_explain(subparsers: argparse._SubParsersAction) -> None:
    """Add the command 'explain'."""
    parser = add_command(
        subparsers,
        "explain",
        run_explain,
        "say and draw what makes the statistic of an event: detectors, matched filter and stack, strain over time and frequency",
        "keras-gw-resnet explain flagship GW150914 --time 1126259462.42 --plot explained.png",
    )
    add = parser.add_argument
    add("model", metavar="MODEL", help="name of a saved network, its folder, or its model.keras")
    add("strain", nargs="+", metavar="FILE", help="strain files, folders or patterns with all detectors of the network")
    add(
        "--time", type=finite, required=True, metavar="GPS", help="the loudest moment within half a second is explained"
    )
    add("--plot", type=picture, metavar="FILE", help="picture of what each moment and frequency adds")
    add("--json", type=path_of, metavar="FILE", help="what is printed, as JSON")
    add_overwrite(parser)
    add_gate(parser)
    add_consistency(parser)
    add_quality(parser)


def run_explain(args: argparse.Namespace) -> None:
    """Explain the statistic of an event."""
    from keras_gw_resnet.strain.files import find_segments

    outputs = [path for path in (args.plot, args.json) if path]
    for path in outputs:
        check_output(path, args.overwrite)
    headers = find_segments(args.strain, args.quality, args.channel)
    refuse_input(outputs, {header.path for header in headers})
    load_keras()
    from keras_gw_resnet.search.detector import Detector

    network = Detector.load(args.model, gate=args.gate, consistency=args.consistency)
    found = network.explain(headers, args.time)
    print("\n".join(_lines(found)))
    _write(found, args.plot, args.json)
    if outputs:
        print(f"saved: {', '.join(str(shown(path)) for path in outputs)}")


def _lines(found: Explanation) -> list[str]:
    lines = [f"GPS {found.time:.3f}: {found.network} gives {found.stat:.2f}; without any strain {found.silence:.2f}"]
    if found.parts:
        lines.append("it is " + " and ".join(f"{value:.2f} of the {name}" for name, value in found.parts.items()))
    shares = found.attribution.sum(axis=0)
    rows = [
        (name, f"{share:.2f}", f"{found.alone[name]:.2f}", f"{found.without[name]:.2f}" if found.without else "-")
        for name, share in zip(found.detectors, shares, strict=True)
    ]
    lines.append(table(rows, ("detector", "adds", "alone", "the others alone")))
    if (own := found.template) is None:
        return [*lines, "no template: the network has no matched filter, or is an ensemble"]
    snr = ", ".join(f"{value:.1f} in {name}" for name, value in zip(found.detectors, own.snr, strict=True))
    low, high = own.chirp_mass_range
    return [
        *lines,
        f"best template: number {own.number} of the {own.of}, signal-to-noise ratio {snr}",
        f"it is most like a binary of {own.mass1:.0f} and {own.mass2:.0f} solar masses without spins (detector frame; match "
        f"{own.match:.2f}), chirp mass {low:.1f} to {high:.1f}",
    ]


def _write(found: Explanation, plot: Path | None, text: Path | None) -> None:
    if text:
        with written_aside(text) as aside:
            aside.write_text(json.dumps(found.to_dict(), indent=1) + "\n")
    if plot:
        from keras_gw_resnet.evaluation.explanation_plots import draw_explanation
        from keras_gw_resnet.evaluation.plots import save

        save(draw_explanation(found), plot)
