"""The command 'evaluate --by-mass': the share of signals of equal SNR that networks find, by chirp mass."""

import argparse
from pathlib import Path

from keras_gw_resnet.commands.printing import shown, table
from keras_gw_resnet.commands.search import load_networks
from keras_gw_resnet.files import check_output


def evaluate_masses(args: argparse.Namespace) -> None:
    """Scan simulated signals of each range of chirp mass with one or several networks, print and write the shares that are found."""
    from keras_gw_resnet.evaluation.mass_test import WRITTEN, mass_table, measure_masses, write_mass_tests
    from keras_gw_resnet.zoo import load_cards, note_measurement

    names = (args.model, *args.compare)
    cards = load_cards(names, "--compare")
    output = args.output or Path("runs") / f"masses-{cards[0]['name']}"
    check_output(output, args.overwrite, folder_of=WRITTEN)
    networks = load_networks(names, args.precision, exact=args.exact, consistency=args.consistency)
    given: dict = {"snr_range": tuple(args.by_mass), "psd": args.psd, "background": args.thresholds, "seed": args.seed}
    tests = [measure_masses(network, **given) for network in networks]
    write_mass_tests(tests, output)
    low, high = args.by_mass
    print(
        f"signals of network SNR {low:g} to {high:g} of {tests[0].population} but for their masses, in Gaussian noise:"
    )
    for test in tests:
        print(f"\n{test.model}, share found (thresholds of {test.source}):")
        print(table(*mass_table(test)))
    print(f"saved: {shown(output)}/{WRITTEN[0]}")
    if args.card:
        for name, test in zip(names, tests, strict=True):
            note_measurement(name, "masses", f"snr {low:g} to {high:g}", test.to_dict())
