"""The command 'evaluate' on a set with injections: how far networks see at which false-alarm rate."""

import argparse
from pathlib import Path

from keras_gw_resnet.commands.printing import shown, table
from keras_gw_resnet.commands.search import load_networks
from keras_gw_resnet.commands.set_noise import noise_of
from keras_gw_resnet.files import check_output

SETS = Path("runs") / "sets"


def evaluate_set(args: argparse.Namespace) -> None:
    """Search foreground and background with every network, and say how far each sees at which false-alarm rate."""
    from keras_gw_resnet.evaluation.injection_set import PARTS, SEARCHED, open_set
    from keras_gw_resnet.evaluation.leakage import report_leakage
    from keras_gw_resnet.evaluation.set_report import set_files, write_set_measurements
    from keras_gw_resnet.evaluation.sets import measure_set
    from keras_gw_resnet.search.journal import forget, journal_of
    from keras_gw_resnet.zoo import load_cards, note_measurement

    names = (args.model, *args.compare)
    cards = load_cards(names, "--compare")
    output = args.output or Path("runs") / f"sensitivity-{cards[0]['name']}"
    check_output(output, args.overwrite, folder_of=set_files([card["name"] for card in cards]))
    paths = _simulated(args, cards[0]) if args.set else {name: getattr(args, name) for name in PARTS}
    # A simulated set has neither flags nor channels: what is asked for is of the noise that it was made of.
    given = {} if args.set else {"quality": args.quality, "channels": args.channel}
    opened = open_set(paths, cards[0]["detectors"], published=args.published, **given)
    if opened.outside:
        every = opened.outside + len(opened.injections["tc"])
        print(f"NOTE: {opened.outside} of {every} injections lie outside the foreground and are left out", flush=True)
    for card in cards:
        report_leakage(card, opened.seen_by(card), args.strict)
    networks = load_networks(names, args.precision, exact=args.exact, consistency=args.consistency)
    journals = {part: journal_of(output, f"{part}-") for part in SEARCHED}
    measured = measure_set(networks, opened, slides=args.slides or 0, journals=journals)
    write_set_measurements(measured, opened.describe(), output)
    for journal in journals.values():
        forget(journal)
    _print(measured, opened, output)
    if args.card:
        data = Path(paths["foreground"]).parent.name
        for name, one in zip(names, measured, strict=True):
            note_measurement(name, "sets", opened.kind or data, one.for_card(data))


def _simulated(args, card):
    """Return the files of the set that --set asks for, simulated unless that has been done before."""
    from keras_gw_resnet.evaluation.injection_set import PARTS
    from keras_gw_resnet.simulation.kept_sets import FILES, kept_set

    options = {"duration_seconds": args.duration, "seed": args.seed, "psds": args.psd}
    frame = {"detectors": tuple(card["detectors"]), "sample_rate": card["sample_rate"]}
    noise = noise_of(args, **frame)
    folder, now = kept_set(SETS, args.set, **options, **frame, **noise)
    what = "measured noise" if noise["noise"] else "simulated Gaussian noise"
    what += " and glitches" if noise["glitches"] is not None else ""
    print(f"{shown(folder)}: {what} with injections of {args.set}{'' if now else ', simulated before'}", flush=True)
    return {part: folder / file for part, file in zip(PARTS, FILES, strict=True)}


def _print(measured, opened, output):
    from keras_gw_resnet.evaluation.set_report import searched_hours, set_tables

    print(f"{len(opened.injections['tc'])} injections in {searched_hours(measured[0])}")
    for line in opened.pieces.lines() if opened.pieces else ():
        print(line)
    for one in measured:
        print(f"\n{one.model}:" if len(measured) > 1 else f"searched with {one.model}:")
        (_, header, cells), *_ = set_tables(one)
        print(table(cells, header))
        if all(not row["found_fraction"] for row in one.sensitivity):
            print("no injection was found louder than the background: the sensitive distance is 0 Mpc")
        if one.timing_error_seconds:
            low, middle, high = one.timing_error_seconds
            print(f"event times of the found: {middle:+.3f} s (68 % from {low:+.3f} to {high:+.3f} s)")
        if remark := one.network.remark(one.scan_difference):
            print(f"NOTE: {remark}")
        if one.loudest_missed and "snr" in one.loudest_missed[0]:
            worst, rate = one.loudest_missed[0], one.told_at["rate"]
            where = f"SNR {worst['snr']:.1f}, GPS {worst['tc']:.1f}"
            print(f"loudest missed at {rate:.4g} a month: {where} (more in the report)")
    print(f"saved: {shown(output)}/report.html, sensitivity.json, sensitivity.csv, pictures and events")
