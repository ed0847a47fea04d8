"""The commands on strain files: 'inspect', 'fetch', 'statistics', 'import-g2net'."""

import json
from dataclasses import replace

import numpy as np

from keras_gw_resnet.commands.arguments import add_command, add_detectors, add_quality, hdf5, path_of, picture, positive
from keras_gw_resnet.commands.printing import shown, table
from keras_gw_resnet.errors import InputError
from keras_gw_resnet.files import check_output, refuse_input, written_aside

MOST_EXAMPLES = 64
# Unless a training says otherwise, examples show every kind of negative.
SHOWN_SHARES = [
    part for kind in ("lone-signal", "glitch", "inconsistent", "loud") for part in (f"--{kind}-share", "0.2")
]


def add_statistics(subparsers):
    """Add the command 'statistics'."""
    parser = add_command(
        subparsers,
        "statistics",
        run_statistics,
        "measure mean and variance of whitened strain, for networks that normalise their input",
        "keras-gw-resnet statistics data/train/noise.hdf --output statistics.json\n"
        "  python train.py --model residual-cnn --input-statistics statistics.json --data data/train --out runs/cnn",
    )
    parser.add_argument("strain", nargs="+", metavar="FILE", help="strain files, folders or patterns")
    parser.add_argument("--output", required=True, type=path_of, metavar="FILE", help="JSON file to write")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    add_detectors(parser)
    add_quality(parser)


def run_statistics(args):
    """Measure mean and variance of the whitened strain in files, for networks that normalise their input."""
    from keras_gw_resnet.strain.conditioning import Whitening
    from keras_gw_resnet.strain.files import find_segments
    from keras_gw_resnet.strain.stretches import whitened_stretches

    check_output(args.output, args.overwrite)
    headers = find_segments(args.strain, args.quality)
    refuse_input([args.output], {h.path for h in headers})
    count, total, squares = 0, np.zeros(len(args.detectors)), np.zeros(len(args.detectors))
    for stretch in whitened_stretches(headers, tuple(args.detectors), Whitening()):
        strain = stretch.strain.astype(np.float64)
        count, total, squares = count + len(strain), total + strain.sum(axis=0), squares + (strain**2).sum(axis=0)
    if not count:
        raise InputError(f"{', '.join(args.strain)}: no valid stretch of strain long enough to whiten")
    mean = total / count
    result = {
        "detectors": list(args.detectors),
        "seconds": count / Whitening().sample_rate,
        "mean": mean.tolist(),
        "variance": (squares / count - mean**2).tolist(),
    }
    with written_aside(args.output) as aside:
        aside.write_text(json.dumps(result, indent=2) + "\n")
    rows = [[d, f"{m:.6f}", f"{v:.4f}"] for d, m, v in zip(args.detectors, mean, result["variance"], strict=True)]
    print(table(rows, ["detector", "mean", "variance"]))
    print(f"saved: {shown(args.output)}, from {result['seconds']:.1f} s of whitened strain")


def add_fetch(subparsers):
    """Add the command 'fetch'."""
    parser = add_command(
        subparsers,
        "fetch",
        run_fetch,
        "fetch open strain data from gwosc.org into the cache; an interrupted transfer goes on where it stopped",
        "keras-gw-resnet fetch GW150914\n  keras-gw-resnet fetch --run O3a --start 1242440000 --duration 8192 --output data/o3a",
    )
    add = parser.add_argument
    add("event", nargs="?", metavar="EVENT", help="name of an event, for example GW150914")
    add("--seconds", type=int, choices=(32, 4096), default=32, help="length of an event's files (default: 32)")
    add("--run", dest="run_name", metavar="RUN", help="observing run, for example O3a, with --start and --duration")
    add("--start", type=positive, metavar="GPS", help="GPS second")
    add("--duration", type=positive, metavar="S", help="seconds")
    add("--rate", type=int, choices=(4096, 16384), default=4096, help="sample rate in Hz (default: 4096)")
    add("--output", type=path_of, metavar="DIR", help="default: the user's cache, keras_gw_resnet/gwosc")
    add("--host", default="https://gwosc.org", metavar="URL", help="server (default: https://gwosc.org)")
    add_detectors(parser)


def run_fetch(args):
    """Fetch open strain data into the cache."""
    from keras_gw_resnet.strain.fetch import cache_folder, download, find_urls

    if (args.event is None) == (args.run_name is None):
        raise InputError("name an event, or --run with --start and --duration; one of the two")
    if args.run_name and (args.start is None or args.duration is None):
        raise InputError("--run needs --start (GPS seconds) and --duration (seconds)")
    folder = args.output or cache_folder()
    check_output(folder / "strain.hdf5")
    urls = find_urls(
        args.detectors,
        event=args.event,
        seconds=args.seconds,
        run=args.run_name,
        start=args.start,
        duration=args.duration,
        sample_rate=args.rate,
        host=args.host.rstrip("/"),
    )
    paths = []
    for url in urls:
        path, fetched = download(url, folder)
        print(f"{shown(path)}: {'fetched' if fetched else 'is there already'}", flush=True)
        paths.append(str(shown(path)))
    print(f"next:  keras-gw-resnet search resnet18-w16 {' '.join(paths)} --output events.hdf")


def add_import_g2net(subparsers):
    """Add the command 'import-g2net'."""
    parser = add_command(
        subparsers,
        "import-g2net",
        run_import_g2net,
        "convert the G2Net layout (training_labels.csv and train/a/b/c/ID.npy) into one file of labelled windows",
        "keras-gw-resnet import-g2net g2net --output windows.hdf5\n"
        "  keras-gw-resnet train --model resnet18 --data windows.hdf5 --out runs/g2net",
    )
    parser.add_argument("folder", type=path_of, metavar="DIR", help="folder with training_labels.csv and train/")
    parser.add_argument("--output", required=True, type=hdf5, metavar="FILE", help="HDF5 file to write")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")


def run_import_g2net(args):
    """Convert the G2Net layout into one file of labelled windows."""
    from keras_gw_resnet.datasets.windows import import_g2net

    check_output(args.output, args.overwrite)
    windows, signals = import_g2net(args.folder, args.output)
    print(f"{shown(args.output)}: {windows} windows, {signals} of them with a signal")
    print(f"next:  keras-gw-resnet train --model resnet18 --data {shown(args.output)} --out runs/g2net")


def add_inspect(subparsers):
    """Add the command 'inspect'."""
    parser = add_command(
        subparsers,
        "inspect",
        run_inspect,
        "show what strain files hold: segments, flags, noise level, glitches; or what training examples look like",
        "keras-gw-resnet inspect H-H1.hdf5 L-L1.hdf5 --plot strain.png\n"
        "  keras-gw-resnet inspect data/train --examples 12 --plot examples.png",
    )
    parser.add_argument("strain", nargs="+", metavar="FILE", help="strain files, folders or patterns")
    parser.add_argument("--plot", type=picture, metavar="FILE", help="draw spectrum and whitened strain")
    parser.add_argument(
        "--examples", type=positive, metavar="N", help="draw training examples made from a folder instead"
    )
    parser.add_argument(
        "--config", metavar="FILE", help="with --examples: those of this training, for example runs/first/config.json"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an existing picture")
    add_quality(parser)


def run_inspect(args):
    """Show what strain files hold, or what training examples look like."""
    if args.plot:
        check_output(args.plot, args.overwrite)
    if args.examples:
        _inspect_examples(args)
    else:
        _inspect_strain(args)
    if args.plot:
        print(f"saved: {shown(args.plot)}")


def _inspect_strain(args):
    from keras_gw_resnet.progress import Bar
    from keras_gw_resnet.strain.inspection import find_groups, inspect_detector

    groups = find_groups(args.strain, args.quality)
    _print_segments([h for group in groups for h in group])
    for group in groups:
        _print_flags(group)
    wanted = [(group, detector) for group in groups for detector in sorted({h.detector for h in group})]
    bar = Bar(wanted, desc="whitening", unit="detector", leave=False)
    reports = [inspect_detector(group, detector) for group, detector in bar]
    _print_noise(reports)
    if args.plot:
        from keras_gw_resnet.evaluation.plots import plot_strain

        plot_strain(reports, args.plot)


def _print_segments(headers):
    from keras_gw_resnet.strain.inspection import name_source

    rows = [
        [
            h.detector,
            f"{h.gps_start:.3f}".rstrip("0").rstrip("."),
            f"{h.samples / h.sample_rate:g}",
            f"{h.sample_rate:g}",
            "-" if h.present is None else f"{sum(h.present)}/{len(h.present)}",
            h.origin,
            name_source([h]),
        ]
        for h in headers
    ]
    print(table(rows, ["detector", "GPS start", "seconds", "rate (Hz)", "seconds with flags", "origin", "file"]))


def _print_flags(headers):
    from keras_gw_resnet.strain.inspection import flag_seconds, name_source
    from keras_gw_resnet.strain.quality import meaning

    seconds = {detector: flag_seconds(headers, detector) for detector in sorted({h.detector for h in headers})}
    names = list(dict.fromkeys(name for own in seconds.values() for name in own))
    rows = [
        [name, meaning(name), *("{} of {}".format(*own[name]) if name in own else "-" for own in seconds.values())]
        for name in names
    ]
    if rows:
        print(f"\nseconds with each flag set, {name_source(headers)}:")
        print(table(rows, ["flag", "a set second", *seconds]))


def _print_noise(reports):
    marks = (30, 100, 300, 1000)
    rows = []
    for r in reports:
        asd = [f"{r.asd[np.argmin(np.abs(r.frequency - mark))]:.2e}" for mark in marks]
        valid = f"{r.valid:.1f} ({100 * r.valid / max(r.given, 1e-9):.0f} %)"
        whitened = [f"{r.deviation:.3f}", f"{r.glitches_per_minute:.2f}"]
        rows.append([r.detector, f"{r.given:.1f}", valid, *asd, *whitened, r.source])
    header = ["detector", "given (s)", "valid (s)", *(f"ASD {mark} Hz" for mark in marks)]
    print()
    print(table(rows, [*header, "whitened deviation", "glitches a minute", "file"]))


def _inspect_examples(args):
    """Draw what a training on these data would show its network; with --config, that of a certain training."""
    if not args.plot or len(args.strain) != 1:
        raise InputError("--examples takes one folder of data, or file of labelled windows, and --plot FILE")
    if args.examples > MOST_EXAMPLES:
        raise InputError(f"--examples is {args.examples}; expected at most {MOST_EXAMPLES}, more cannot be told apart")
    from keras_gw_resnet.commands.train_arguments import parse_training
    from keras_gw_resnet.evaluation.window_plots import plot_examples
    from keras_gw_resnet.training.data import load_batches

    options = ["--config", args.config] if args.config else ["--model", "resnet18", *SHOWN_SHARES]
    quality = ["--quality", *args.quality] if args.quality else []
    config, _ = parse_training([*options, *quality, "--data", args.strain[0], "--out", "-"])
    # What only a training needs is kept small.
    size = {"batch_size": max(2, args.examples), "devices": None, "validation_batches": 1, "validation_signals": 1}
    size |= {"validation_noise": 20, "false_alarm_probability": 0.9}
    batches = load_batches(replace(config, **size)).training
    strain, titles = _titled(batches)
    title = f"training examples from {args.strain[0]}"
    shown_now = slice(0, args.examples)
    rate = config.whitening.sample_rate
    plot_examples(strain[shown_now], titles[shown_now], config.detectors, rate, args.plot, title)


def _titled(batches):
    """Return the strain of the first batch, and of each example what it is."""
    from keras_gw_resnet.datasets.batches import KINDS

    found, titles = batches.examples(0), []
    for label, kind, snr, waveform in zip(found.label[:, 0], found.kind, found.snr, found.waveform, strict=True):
        text = (
            f"label {label:.0f}" + (f": {KINDS[kind]}" if kind >= 0 else "") + (f" of SNR {snr:.1f}" if snr > 0 else "")
        )
        if waveform >= 0:
            masses = (batches.signals.bank.parameters[name][waveform] for name in ("mass1", "mass2"))
            text += "\n{:.0f} + {:.0f} solar masses".format(*masses)
        titles.append(text)
    return found.strain, titles
