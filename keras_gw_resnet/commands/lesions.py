"""'evaluate --lesion': what networks lose with one block less, or two blocks swapped."""

import json
from pathlib import Path

import numpy as np

from keras_gw_resnet.backend import load_keras
from keras_gw_resnet.commands.printing import shown, table
from keras_gw_resnet.files import check_output, written_aside

# Windows are scored once for every lesion; so many show an efficiency at this false-alarm probability.
MOST_WINDOWS = 6000
FALSE_ALARM_PROBABILITY = 1e-2
KINDS = {"none": "whole", "dropped": "without", "swapped": "swapped"}


def evaluate_lesions(args, windows_of):
    """Measure the lesions of one or several networks, print, write and draw them.

    Args:
        args: Parsed arguments of 'evaluate'.
        windows_of: Function of (args, card) that gives (batches, number, data), as for an evaluation on windows.
    """
    from keras_gw_resnet.zoo import load_cards

    names = [args.model, *args.compare]
    cards = load_cards(names, "--compare")
    output = args.output or Path("runs") / f"lesions-{cards[0]['name']}"
    check_output(output, args.overwrite, folder_of=("lesions.json", "lesions.png"))
    args.windows = min(args.windows, MOST_WINDOWS)
    given = [windows_of(args, card) for card in cards]
    load_keras()
    from keras_gw_resnet.evaluation.lesion import units_of
    from keras_gw_resnet.evaluation.lesion_plot import plot_lesions
    from keras_gw_resnet.zoo import load_model

    models = [load_model(name)[0] for name in names]
    for model in models:
        units_of(model)
    results = {}
    for model, card, (batches, number, data) in zip(models, cards, given, strict=True):
        results[card["name"]] = {"data": data, "lesions": _measured(model, card, batches, number)}
        _print(card["name"], results[card["name"]]["lesions"])
    with written_aside(output) as aside:
        aside.mkdir()
        (aside / "lesions.json").write_text(json.dumps(results, indent=2) + "\n")
        plot_lesions(results, FALSE_ALARM_PROBABILITY, aside / "lesions.png")
    print(f"saved: {shown(output)}/lesions.json, lesions.png")


def _measured(model, card, batches, number):
    from keras_gw_resnet.backend import jit_compile
    from keras_gw_resnet.evaluation.lesion import lesions
    from keras_gw_resnet.evaluation.windows import auc, detected_fraction
    from keras_gw_resnet.progress import Bar

    model.compile(jit_compile=jit_compile())
    made = [batches[i] for i in range(-(-number // batches.batch_size))]
    signal = np.concatenate([label[:, 0] for _, label in made]) == 1

    def measure():
        score = np.concatenate([model.predict_on_batch(strain)[:, 0] for strain, _ in made])
        noise, signals = score[~signal], score[signal]
        return {
            "auc": auc(noise, signals),
            "efficiency": detected_fraction(noise, signals, FALSE_ALARM_PROBABILITY)[0],
        }

    def bar(todo):
        return Bar(todo, desc=card["name"], unit="lesion")

    return lesions(model, measure, bar)


def _print(name, found):
    whole = found[0]
    rows = []
    for row in found:
        lost = [f"{whole[figure] - row[figure]:+.4f}" if row["units"] else "-" for figure in ("auc", "efficiency")]
        what = " and ".join(row["units"]) or "-"
        rows.append([KINDS[row["kind"]], what, f"{row['auc']:.4f}", lost[0], f"{row['efficiency']:.4f}", lost[1]])
    print(f"\n{name}")
    header = ["", "block", "AUC", "lost", f"detected at FAP {FALSE_ALARM_PROBABILITY:g}", "lost"]
    print(table(rows, header))
