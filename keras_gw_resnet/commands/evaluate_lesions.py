"""The command 'evaluate --lesion': what networks lose with one block less, or two blocks swapped."""

import argparse
from pathlib import Path

from keras_gw_resnet.backend import load_keras
from keras_gw_resnet.commands.evaluate_windows import open_windows_for
from keras_gw_resnet.commands.printing import shown, table
from keras_gw_resnet.files import check_output


def evaluate_lesions(args: argparse.Namespace) -> None:
    """Measure the lesions of one or several networks, print, write and draw them."""
    from keras_gw_resnet.evaluation.lesion_report import WRITTEN, lesion_table, write_lesions
    from keras_gw_resnet.zoo import load_cards, load_model

    names = [args.model, *args.compare]
    cards = load_cards(names, "--compare")
    output = args.output or Path("runs") / f"lesions-{cards[0]['name']}"
    check_output(output, args.overwrite, folder_of=WRITTEN)
    load_keras()
    from keras_gw_resnet.evaluation.lesion import FALSE_ALARM_PROBABILITY, MOST_WINDOWS, measure_lesions, units_of

    args.windows = min(args.windows, MOST_WINDOWS)
    given = [open_windows_for(args, card) for card in cards]
    models = [load_model(name)[0] for name in names]
    for model in models:
        units_of(model)
    results = {}
    for model, card, windows in zip(models, cards, given, strict=True):
        found = measure_lesions(model, card["name"], windows)
        results[card["name"]] = {"data": windows.record, "lesions": found}
        print(f"\n{card['name']}")
        print(table(*lesion_table(found, FALSE_ALARM_PROBABILITY)))
    write_lesions(results, FALSE_ALARM_PROBABILITY, output)
    print(f"saved: {shown(output)}/lesions.json, lesions.png")
