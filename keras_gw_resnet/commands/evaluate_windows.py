"""The command 'evaluate' on windows: simulated signals in held-out noise, or windows that came with labels."""

import csv
import itertools
import json
from pathlib import Path

import numpy as np

from keras_gw_resnet.backend import load_keras
from keras_gw_resnet.commands.printing import shown, table
from keras_gw_resnet.errors import InputError
from keras_gw_resnet.files import check_output, written_aside

LEAST_WINDOWS = 2000
COMPARED = ("comparison.csv", "comparison.png")
WRITTEN = ("evaluation.json", "roc.csv", "efficiency.png", "scores.png", "report.html", "tensorboard")


def evaluate_windows(args):
    """Score windows with saved networks: simulated signals in noise from files, or windows that came with labels."""
    from keras_gw_resnet.zoo import load_cards, note_measurement

    given = (args.model, *args.compare)
    names = [card["name"] for card in load_cards(given, "--compare")]
    output = args.output or Path("runs") / f"evaluation-{names[0]}"
    check_output(output, args.overwrite, folder_of=(*names, *COMPARED) if args.compare else WRITTEN)
    results = []
    with written_aside(output) as aside:
        aside.mkdir()
        for name in given:
            result = _measure(args, name)
            _write(result, args, aside / result["model"] if args.compare else aside)
            results.append(result)
        if args.compare:
            _compare(results, aside)
    for result in results:
        if args.compare:
            print(f"\n{result['model']}:")
        _print_evaluation(result)
    if args.compare:
        print("\n" + table(*_joint_table(results)))
    print(f"saved: {', '.join(str(shown(path)) for path in sorted(output.iterdir(), reverse=True))}")
    if args.card:
        named = ("signal_windows", "noise_windows", "auc", "auc_error", "snr_range", "efficiency", "snr_edges", "data")
        for name, result in zip(given, results, strict=True):
            figures = {key: result[key] for key in named if key in result}
            note_measurement(name, "windows", args.data.name, figures)


def _measure(args, name):
    """Score windows with one network; return everything measured."""
    from keras_gw_resnet.zoo import load_card

    batches, number, data = (labelled_windows if args.data.is_file() else simulated_windows)(args, load_card(name))
    load_keras()
    from keras_gw_resnet.evaluation.windows import evaluate_scores
    from keras_gw_resnet.zoo import load_model

    model, card = load_model(name)
    score, label, snr = _scored(model, batches, number)
    edges = None if snr is None else np.linspace(args.snr_range[0], args.snr_range[1], 13)
    figures = evaluate_scores(score, label, snr, edges)
    return {"model": card["name"], "sha256": card["sha256"], "data": data, **figures}


def _joint_table(results):
    """Return (rows, header) of all networks."""
    curves = results[0]["efficiency"]
    rows = [
        [
            result["model"],
            f"{result['auc']:.4f} +- {result['auc_error']:.4f}",
            *(f"{c['detected']:.3f} +- {c['detected_error']:.3f}" for c in result["efficiency"].values()),
        ]
        for result in results
    ]
    return rows, ["network", "AUC", *(f"detected at FAP {p}" for p in curves)]


def _compare(results, folder):
    """Write the joint table, and the picture of all ROC curves."""
    from keras_gw_resnet.evaluation.plots import save
    from keras_gw_resnet.evaluation.window_plots import draw_rocs

    rows, header = _joint_table(results)
    with (folder / "comparison.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    save(draw_rocs({result["model"]: result["roc"] for result in results}), folder / "comparison.png")


def _write(result, args, folder):
    from keras_gw_resnet.evaluation.plots import save
    from keras_gw_resnet.evaluation.report import facts_html, figure_html, table_html, write_page
    from keras_gw_resnet.evaluation.window_plots import draw_efficiency, draw_scores
    from keras_gw_resnet.training.tensorboard_file import write_pictures

    what = "labelled windows" if args.data.is_file() else "simulated signals in held-out noise"
    title = f"{result['model']}: {what}, AUC {result['auc']:.4f}"
    figures = {"scores": draw_scores(result, title)}
    if "snr_edges" in result:
        figures["efficiency"] = draw_efficiency(result, title)
    folder.mkdir(exist_ok=True)
    (folder / "evaluation.json").write_text(json.dumps(result, indent=2) + "\n")
    with (folder / "roc.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(result["roc"])
        writer.writerows(zip(*result["roc"].values(), strict=True))
    for name, figure in figures.items():
        save(figure, folder / f"{name}.png")
    rows, header = _efficiency_table(result)
    sections = [("Detected fraction", table_html(header, rows))] if rows else []
    sections += [(name.capitalize(), figure_html(figure, f"{name}: {title}")) for name, figure in figures.items()]
    write_page(folder / "report.html", title, [*sections, ("Data", facts_html(result["data"]))])
    write_pictures(folder / "tensorboard", figures)


def _scored(model, batches, number):
    """Return (score, label, SNR) of so many windows; no SNR where the windows came with labels alone."""
    from keras_gw_resnet.backend import jit_compile
    from keras_gw_resnet.progress import Bar

    model.compile(jit_compile=jit_compile())
    scores, labels, snrs = [], [], []
    with Bar(total=number, desc="evaluate", unit="window") as bar:
        for index in range(-(-number // batches.batch_size)):
            examples = batches.examples(index)
            scores.append(model.predict_on_batch(examples.strain)[:, 0])
            labels.append(examples.label[:, 0])
            snrs.append(examples.snr)
            bar.update(min(len(examples.label), number - bar.n))
    score, label, snr = (np.concatenate(parts)[:number] for parts in (scores, labels, snrs))
    return score, label, None if np.all(np.isnan(snr)) else snr


def simulated_windows(args, card):
    """Return batches of simulated signals in noise from files, their number, and what they are for the record."""
    from keras_gw_resnet.datasets.batches import InjectionBatches, InjectionSettings
    from keras_gw_resnet.datasets.noise import FileNoise
    from keras_gw_resnet.evaluation.leakage import report_leakage, seen_in_training
    from keras_gw_resnet.strain.conditioning import Whitening
    from keras_gw_resnet.strain.files import find_segments
    from keras_gw_resnet.training.data import find_bank, read_noise

    merger = tuple(card.get("training", {}).get("config", {}).get("merger_range", (0.65, 0.85)))
    settings = InjectionSettings(snr_range=tuple(args.snr_range), merger_range=merger, lone_signal_share=0.0)
    if args.snr_range[0] == args.snr_range[1]:
        raise InputError(f"--snr-range is {args.snr_range[0]:g} {args.snr_range[1]:g}; expected two rising numbers")
    if args.windows < LEAST_WINDOWS:
        raise InputError(
            f"--windows is {args.windows}; expected at least {LEAST_WINDOWS}, fewer cannot show a false-alarm probability"
        )
    bank = find_bank(args.data)
    whitening, window = Whitening(**card["whitening"]), card["window_samples"]
    headers = find_segments(args.data, args.quality)
    stretches, coverage = read_noise(args.data, headers, tuple(card["detectors"]), whitening, window)
    noise = FileNoise(stretches, window)
    seen = seen_in_training(card, noise.intervals, bank.fingerprint())
    report_leakage(card, seen, args.strict)
    data = {
        "folder": str(shown(args.data)),
        "bank": bank.fingerprint(),
        "noise_seconds": coverage.whitened,
        "seed": args.seed,
        "seen_in_training": seen,
    }
    return InjectionBatches(bank, noise, batch_size=500, seed=args.seed, settings=settings), args.windows, data


def labelled_windows(args, card):
    """Return batches of labelled windows, their number, and what they are for the record.

    Of the file that the network was trained on, what was held out.
    """
    from keras_gw_resnet.datasets.windows import LabelledWindows, check_windows, open_windows, split_windows
    from keras_gw_resnet.evaluation.leakage import report_leakage, seen_windows
    from keras_gw_resnet.training.data import VALIDATION_SEED

    header = open_windows(args.data)
    header.require(card["window_samples"], card["detectors"], card["sample_rate"], f"{card['name']} takes")
    rows = np.arange(header.number)
    hashes = np.array(header.hashes(rows))
    seen, training = seen_windows(card, hashes), card.get("training", {})
    if seen and not args.strict and header.number == training["data"]["number"] + training["data"]["held_out"]:
        # The very file of the training: what was held out of it was not trained on.
        held_out = split_windows(header, training["config"]["validation_share"], VALIDATION_SEED)[1]
        if len(seen_windows(card, hashes[held_out])) == 1:
            rows = held_out
            seen = [f"it was trained on the others of this file, the {len(rows)} that were held out are scored"]
    report_leakage(card, seen, args.strict)
    check_windows(header, rows)
    data = {"file": str(args.data), "windows": len(rows), "seen_in_training": seen}
    return LabelledWindows(header, rows, batch_size=500, seed=None), len(rows), data


def _efficiency_table(result):
    """Return (rows, header) of the detected fraction by SNR at false-alarm probabilities, as text."""
    curves, rows = result["efficiency"], []
    if not curves:
        return [], []
    for i, (low, high) in enumerate(itertools.pairwise(result.get("snr_edges", []))):
        cells = [f"{low:.1f}-{high:.1f}"]
        for curve in curves.values():
            fraction, error = curve["fraction"][i], curve["error"][i]
            cells.append("-" if fraction is None else f"{fraction:.3f} +- {error:.3f}")
        rows.append(cells)
    rows.append(["all", *(f"{curve['detected']:.3f} +- {curve['detected_error']:.3f}" for curve in curves.values())])
    return rows, ["SNR", *(f"detected at FAP {p}" for p in curves)]


def _print_evaluation(result):
    kind = "a signal"
    if "snr_range" in result:
        low, high = result["snr_range"]
        kind = f"a simulated signal of network SNR {low:g}-{high:g}"
    print(
        f"AUC {result['auc']:.4f} +- {result['auc_error']:.4f}: {result['signal_windows']} windows with {kind}, "
        f"{result['noise_windows']} without"
    )
    rows, header = _efficiency_table(result)
    if rows:
        print(table(rows, header))
    off = result["calibration"]["expected_error"]
    print(f"read as a probability, the score is off by {off:.3f} on average")
