"""The command 'evaluate' on windows: simulated signals in held-out noise, or windows that came with labels."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from keras_gw_resnet.backend import load_keras
from keras_gw_resnet.commands.printing import shown, table
from keras_gw_resnet.files import check_output, written_aside

if TYPE_CHECKING:
    from keras_gw_resnet.evaluation.window_data import WindowData


def open_windows_for(args: argparse.Namespace, card: dict) -> WindowData:
    """Open the windows that the arguments name for the network of a card, and say what it knows of them."""
    from keras_gw_resnet.evaluation.leakage import report_leakage
    from keras_gw_resnet.evaluation.window_data import MERGER_RANGE, windows_for
    from keras_gw_resnet.training.names import recorded

    config = recorded(card)
    given = windows_for(
        card,
        shown(args.data),
        snr_range=args.snr_range,
        number=args.windows,
        seed=args.seed,
        quality=args.quality,
        channels=args.channel,
        merger_range=config.get("signals.merger_range", MERGER_RANGE),
        validation_share=None if args.strict else config.get("data.validation_share"),
    )
    report_leakage(card, given.record["seen_in_training"], args.strict)
    return given


def evaluate_windows(args: argparse.Namespace) -> None:
    """Score windows with saved networks: simulated signals in noise from files, or windows that came with labels."""
    from keras_gw_resnet.evaluation.window_report import joint_table, window_files, write_window_measurements
    from keras_gw_resnet.zoo import load_cards, note_measurement

    given = (args.model, *args.compare)
    names = [card["name"] for card in load_cards(given, "--compare")]
    output = args.output or Path("runs") / f"evaluation-{names[0]}"
    check_output(output, args.overwrite, folder_of=window_files(names))
    measured = [_measure(args, name) for name in given]
    with written_aside(output) as aside:
        aside.mkdir()
        write_window_measurements(measured, aside)
    for one in measured:
        if args.compare:
            print(f"\n{one.model}:")
        _print(one)
    if args.compare:
        print("\n" + table(*joint_table(measured)))
    print(f"saved: {', '.join(str(shown(path)) for path in sorted(output.iterdir(), reverse=True))}")
    if args.card:
        for name, one in zip(given, measured, strict=True):
            note_measurement(name, "windows", args.data.name, one.for_card())


def _measure(args, name):
    from keras_gw_resnet.zoo import load_card, load_model

    windows = open_windows_for(args, load_card(name))
    load_keras()
    from keras_gw_resnet.evaluation.windows import measure_windows

    return measure_windows(*load_model(name), windows)


def _print(one):
    from keras_gw_resnet.evaluation.window_report import efficiency_table

    figures, kind = one.figures, "a signal"
    if "snr_range" in figures:
        low, high = figures["snr_range"]
        kind = f"a simulated signal of network SNR {low:g}-{high:g}"
    print(
        f"AUC {figures['auc']:.4f} +- {figures['auc_error']:.4f}: {figures['signal_windows']} windows with {kind}, "
        f"{figures['noise_windows']} without"
    )
    rows, header = efficiency_table(one)
    if rows:
        print(table(rows, header))
    off = figures["calibration"]["expected_error"]
    print(f"read as a probability, the score is off by {off:.3f} on average")
