"""The command 'evaluate --glitches': the share of the glitches of a bank that networks take for signals."""

import argparse
from pathlib import Path

from keras_gw_resnet.commands.printing import shown, table
from keras_gw_resnet.commands.search import load_networks
from keras_gw_resnet.files import check_output


def evaluate_glitches(args: argparse.Namespace) -> None:
    """Test one or several networks with the glitches of a bank, print, write and draw the shares."""
    from keras_gw_resnet.evaluation.glitch_report import WRITTEN, glitch_table, write_glitch_tests
    from keras_gw_resnet.evaluation.glitch_test import REPEATS, measure_glitches, usable_glitches
    from keras_gw_resnet.evaluation.leakage import glitches_of_other_banks, report_leakage, seen_glitches
    from keras_gw_resnet.simulation.glitch_bank import load_glitches
    from keras_gw_resnet.zoo import load_cards, note_measurement

    names = (args.model, *args.compare)
    cards = load_cards(names, "--compare")
    output = args.output or Path("runs") / f"glitches-{cards[0]['name']}"
    check_output(output, args.overwrite, folder_of=WRITTEN)
    whole = load_glitches(args.glitches)
    fingerprint = whole.fingerprint()
    banks = [usable_glitches(whole, args.glitches, card["sample_rate"], card["detectors"]) for card in cards]
    for card in cards:
        report_leakage(card, seen_glitches(card, fingerprint), args.strict)
        if other := glitches_of_other_banks(card, fingerprint):
            print(
                f"NOTE: {card['name']} was trained on {other} glitches of another bank; see that none of these is one of them"
            )
    networks = load_networks(names, args.precision, exact=args.exact, consistency=args.consistency)
    given = {"background": args.thresholds, "seed": args.seed}
    tests = [measure_glitches(n, bank, fingerprint, **given) for n, bank in zip(networks, banks, strict=True)]
    data = {"file": str(args.glitches), "fingerprint": fingerprint, "glitches": len(banks[0]), "seed": args.seed}
    write_glitch_tests(tests, data, output)
    print(f"{shown(args.glitches)}: {len(banks[0])} glitches, each {REPEATS} times in fresh Gaussian noise")
    for test in tests:
        print(f"\n{test.model}, share above the threshold ({test.source}):")
        print(table(*glitch_table(test)))
    print(f"saved: {shown(output)}/glitches.json, glitches.png")
    if args.card:
        for name, test in zip(names, tests, strict=True):
            note_measurement(name, "glitches", args.glitches.stem, {"fingerprint": fingerprint, **test.for_card()})
