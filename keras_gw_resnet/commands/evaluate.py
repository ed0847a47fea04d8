"""The command 'evaluate'."""

import itertools
import json
from pathlib import Path

import numpy as np

from keras_gw_resnet.backend import load_keras
from keras_gw_resnet.commands.arguments import add_command, add_quality, add_strict, finite, path_of, seed
from keras_gw_resnet.commands.printing import shown, table
from keras_gw_resnet.errors import InputError
from keras_gw_resnet.files import check_output, written_aside

# Events below this logit of signal against noise are not kept for rates and distances.
LOWEST_STATISTIC = -10.0
LEAST_WINDOWS = 2000


def add_evaluate(subparsers):
    """Add the command 'evaluate'."""
    parser = add_command(
        subparsers,
        "evaluate",
        run_evaluate,
        "measure AUC and detected fraction on simulated signals in held-out noise, or the sensitive distance on a test set",
        "python evaluate.py runs/first --data data/test --output runs/first-evaluation\n"
        "  python evaluate.py resnet18-w16 --foreground data/set3/foreground.hdf --background data/set3/background.hdf "
        "--injections data/set3/injections.hdf",
    )
    add = parser.add_argument
    add("model", metavar="MODEL", help="name of a saved network, its folder, or its model.keras")
    add("--data", type=path_of, metavar="DIR", help="folder with strain files and a waveform bank, or labelled windows")
    group = parser.add_argument_group("or, for the sensitive distance at a false-alarm rate, a set with injections")
    group.add_argument("--foreground", type=path_of, metavar="FILE", help="strain with injections")
    group.add_argument("--background", type=path_of, metavar="FILE", help="strain without")
    group.add_argument("--injections", type=path_of, metavar="FILE", help="their parameters")
    add("--output", type=path_of, metavar="DIR", help="default: runs/evaluation-NAME, or runs/sensitivity-NAME")
    add(
        "--snr-range",
        type=finite,
        nargs=2,
        default=(8.0, 20.0),
        metavar=("LOW", "HIGH"),
        help="network SNR (default: 8 20)",
    )
    add("--windows", type=int, default=30000, metavar="N", help="half of them with a signal (default: 30000)")
    add("--seed", type=seed, default=1, metavar="N", help="of the examples (default: 1)")
    add("--overwrite", action="store_true", help="replace an existing output folder")
    group = parser.add_argument_group("or, with --data, what is lost with one block less")
    group.add_argument("--lesion", action="store_true", help="leave out one block after the other, and swap neighbours")
    group.add_argument(
        "--compare",
        nargs="+",
        default=[],
        metavar="MODEL",
        help="draw other networks beside it, for example a plain one",
    )
    add_quality(parser)
    add_strict(parser)


def run_evaluate(args):
    """Measure a saved network on windows, or on a set with injections."""
    given = [args.foreground, args.background, args.injections]
    if args.compare and not args.lesion:
        raise InputError("--compare goes with --lesion")
    if args.lesion and args.data:
        from keras_gw_resnet.commands.lesions import evaluate_lesions

        evaluate_lesions(args, _labelled_windows if args.data.is_file() else _simulated_windows)
    elif not any(given) and args.data:
        _evaluate_windows(args)
    elif all(given) and not args.data:
        _evaluate_set(args)
    else:
        raise InputError("give --data, or --foreground, --background and --injections together")


def _evaluate_set(args):
    """Search foreground and background, and say how far the network sees at which false-alarm rate."""
    from keras_gw_resnet.evaluation.leakage import report_leakage, seen_in_training
    from keras_gw_resnet.evaluation.sensitivity import FALSE_ALARMS_A_MONTH, MONTH_SECONDS, match, sensitivity
    from keras_gw_resnet.simulation.sets import read_injections
    from keras_gw_resnet.strain.files import find_segments
    from keras_gw_resnet.strain.stretches import intervals_of
    from keras_gw_resnet.zoo import load_card

    card = load_card(args.model)
    output = args.output or Path("runs") / f"sensitivity-{card['name']}"
    check_output(output, args.overwrite, folder_of=("sensitivity.json", "sensitivity.png"))
    injections = read_injections(args.injections)
    seen = []
    for path in (args.foreground, args.background):
        seen += seen_in_training(card, intervals_of(find_segments(path, args.quality), card["detectors"]))
    seen = sorted(set(seen))
    report_leakage(card, seen, args.strict)
    load_keras()
    from keras_gw_resnet.evaluation.plots import plot_sensitivity
    from keras_gw_resnet.search.search import search
    from keras_gw_resnet.zoo import load_model

    model, card = load_model(args.model)
    found, searched = {}, {}
    for name, path in (("foreground", args.foreground), ("background", args.background)):
        result = search(model, card, [path], threshold=LOWEST_STATISTIC, quality=args.quality)
        found[name], searched[name] = result.events, result.searched_seconds
    matched = match(found["foreground"], injections)
    background = found["background"].stat, searched["background"]
    # The lowest rate that this background can show has a row of its own.
    least = MONTH_SECONDS / searched["background"]
    rows = sensitivity(matched, *background, sorted({*FALSE_ALARMS_A_MONTH, least}, reverse=True))
    fine = sensitivity(matched, *background, np.geomspace(least, max(3000.0, 10 * least), 60).tolist())
    lowest = next(row["threshold"] for row in rows if row["distance"] is not None)
    lag = matched.lag[matched.stat > (LOWEST_STATISTIC if lowest is None else lowest)]
    result = {
        "model": card["name"],
        "sha256": card["sha256"],
        "data": {
            **{name: str(getattr(args, name)) for name in ("foreground", "background", "injections")},
            "searched_seconds": searched,
            "injections": len(matched.stat),
            "seen_in_training": seen,
        },
        "sensitivity": rows,
        "curve": fine,
        "timing_error_seconds": np.quantile(lag, [0.16, 0.5, 0.84]).tolist() if len(lag) else None,
    }
    with written_aside(output) as aside:
        aside.mkdir()
        (aside / "sensitivity.json").write_text(json.dumps(result, indent=2) + "\n")
        title = f"{card['name']}: {len(matched.stat)} injections, background {searched['background'] / 3600:.1f} h"
        plot_sensitivity(fine, aside / "sensitivity.png", title)
    _print_sensitivity(result, output)


def _print_sensitivity(result, output):
    hours = {name: seconds / 3600 for name, seconds in result["data"]["searched_seconds"].items()}
    print(
        f"{result['data']['injections']} injections in {hours['foreground']:.2f} h of foreground, "
        f"{hours['background']:.2f} h of background, searched with {result['model']}"
    )
    cells = []
    for row in result["sensitivity"]:
        if row["distance"] is None:
            cells.append([f"{row['rate']:.4g}", "background too short", "-", "-", "-"])
            continue
        pairs = [
            ("distance", "distance_error", ".0f"),
            ("volume", "volume_error", ".2f"),
            ("found_fraction", "found_error", ".3f"),
        ]
        values = [f"{row[value]:{form}} +- {row[error]:{form}}" for value, error, form in pairs]
        cells.append([f"{row['rate']:.4g}", *values, "-" if row["threshold"] is None else f"{row['threshold']:.2f}"])
    header = ["false alarms a month", "sensitive distance (Mpc)", "volume (Gpc^3)", "found", "threshold"]
    print(table(cells, header))
    if result["timing_error_seconds"]:
        low, middle, high = result["timing_error_seconds"]
        print(f"event times of the found: {middle:+.3f} s (68 % from {low:+.3f} to {high:+.3f} s)")
    print(f"saved: {shown(output)}/sensitivity.json, sensitivity.png")


def _evaluate_windows(args):
    """Score windows with a saved network: simulated signals in noise from files, or windows that came with labels."""
    from keras_gw_resnet.zoo import load_card

    card = load_card(args.model)
    output = args.output or Path("runs") / f"evaluation-{card['name']}"
    check_output(output, args.overwrite, folder_of=("evaluation.json", "efficiency.png"))
    batches, number, data = (_labelled_windows if args.data.is_file() else _simulated_windows)(args, card)
    load_keras()
    from keras_gw_resnet.evaluation.windows import evaluate_scores
    from keras_gw_resnet.zoo import load_model

    model, card = load_model(args.model)
    score, label, snr = _scored(model, batches, number)
    edges = None if snr is None else np.linspace(args.snr_range[0], args.snr_range[1], 13)
    result = {
        "model": card["name"],
        "sha256": card["sha256"],
        "data": data,
        **evaluate_scores(score, label, snr, edges),
    }
    with written_aside(output) as aside:
        aside.mkdir()
        (aside / "evaluation.json").write_text(json.dumps(result, indent=2) + "\n")
        if snr is not None:
            from keras_gw_resnet.evaluation.plots import plot_efficiency

            title = f"{card['name']}: simulated signals in held-out noise, AUC {result['auc']:.4f}"
            plot_efficiency(result, aside / "efficiency.png", title)
    _print_evaluation(result, output)


def _scored(model, batches, number):
    """Return (score, label, SNR) of so many windows; no SNR where the windows came with labels alone."""
    from tqdm import tqdm

    from keras_gw_resnet.backend import jit_compile

    model.compile(jit_compile=jit_compile())
    scores, labels, snrs = [], [], []
    with tqdm(total=number, desc="evaluate", unit="window", disable=None, dynamic_ncols=True) as bar:
        for index in range(-(-number // batches.batch_size)):
            examples = batches.examples(index)
            scores.append(model.predict_on_batch(examples.strain)[:, 0])
            labels.append(examples.label[:, 0])
            snrs.append(examples.snr)
            bar.update(min(len(examples.label), number - bar.n))
    score, label, snr = (np.concatenate(parts)[:number] for parts in (scores, labels, snrs))
    return score, label, None if np.all(np.isnan(snr)) else snr


def _simulated_windows(args, card):
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
        "folder": str(args.data),
        "bank": bank.fingerprint(),
        "noise_seconds": coverage.whitened,
        "seed": args.seed,
        "seen_in_training": seen,
    }
    return InjectionBatches(bank, noise, batch_size=500, seed=args.seed, settings=settings), args.windows, data


def _labelled_windows(args, card):
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


def _print_evaluation(result, output):
    kind = "a signal"
    if "snr_range" in result:
        low, high = result["snr_range"]
        kind = f"a simulated signal of network SNR {low:g}-{high:g}"
    print(f"AUC {result['auc']:.4f}: {result['signal_windows']} windows with {kind}, {result['noise_windows']} without")
    curves = result["efficiency"]
    rows = []
    for i, (low, high) in enumerate(itertools.pairwise(result.get("snr_edges", []))):
        cells = [f"{low:.1f}-{high:.1f}"]
        for curve in curves.values():
            fraction, error = curve["fraction"][i], curve["error"][i]
            cells.append("-" if fraction is None else f"{fraction:.3f} +- {error:.3f}")
        rows.append(cells)
    rows.append(["all", *(f"{curve['detected']:.3f} +- {curve['detected_error']:.3f}" for curve in curves.values())])
    if curves:
        print(table(rows, ["SNR", *(f"detected at FAP {p}" for p in curves)]))
    print(f"saved: {', '.join(str(shown(path)) for path in sorted(output.iterdir(), reverse=True))}")
