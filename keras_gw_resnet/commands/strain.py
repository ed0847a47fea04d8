"""The commands on strain files: 'fetch', 'statistics', 'import-g2net'."""

import argparse
import json

from keras_gw_resnet.commands.arguments import add_command, add_detectors, add_quality, hdf5, path_of, positive
from keras_gw_resnet.commands.printing import shown, table
from keras_gw_resnet.errors import InputError
from keras_gw_resnet.files import check_output, refuse_input, written_aside


def add_statistics(subparsers: argparse._SubParsersAction) -> None:
    """Add the command 'statistics'."""
    parser = add_command(
        subparsers,
        "statistics",
        run_statistics,
        "measure mean and variance of whitened strain, for networks that normalise their input",
        "keras-gw-resnet statistics data/train/noise.hdf --output statistics.json\n"
        "  keras-gw-resnet train --model residual-cnn --input-statistics statistics.json --data data/train --out runs/cnn",
    )
    parser.add_argument("strain", nargs="+", metavar="FILE", help="strain files, folders or patterns")
    parser.add_argument("--output", required=True, type=path_of, metavar="FILE", help="JSON file to write")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    add_detectors(parser)
    add_quality(parser)


def run_statistics(args: argparse.Namespace) -> None:
    """Measure mean and variance of the whitened strain in files, for networks that normalise their input."""
    from keras_gw_resnet.strain.files import find_segments
    from keras_gw_resnet.strain.inspection import measure_statistics

    check_output(args.output, args.overwrite)
    headers = find_segments(args.strain, args.quality, args.channel)
    refuse_input([args.output], {h.path for h in headers})
    result = measure_statistics(headers, args.detectors)
    with written_aside(args.output) as aside:
        aside.write_text(json.dumps(result, indent=2) + "\n")
    figures = zip(args.detectors, result["mean"], result["variance"], strict=True)
    print(table([[d, f"{m:.6f}", f"{v:.4f}"] for d, m, v in figures], ["detector", "mean", "variance"]))
    print(f"saved: {shown(args.output)}, from {result['seconds']:.1f} s of whitened strain")


def add_fetch(subparsers: argparse._SubParsersAction) -> None:
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
    add("--host", metavar="URL", help="server (default: https://gwosc.org; the files that ship are copied)")
    add_detectors(parser)


def run_fetch(args: argparse.Namespace) -> None:
    """Fetch open strain data into the cache."""
    from keras_gw_resnet.strain.fetch import GWOSC, cache_folder, copy_shipped, download, find_urls, shipped_strain

    if (args.event is None) == (args.run_name is None):
        raise InputError("name an event, or --run with --start and --duration; one of the two")
    if args.run_name and (args.start is None or args.duration is None):
        raise InputError("--run needs --start (GPS seconds) and --duration (seconds)")
    folder, host = args.output or cache_folder(), (args.host or GWOSC).rstrip("/")
    check_output(folder / "strain.hdf5")
    asked = {"start": args.start, "duration": args.duration, "sample_rate": args.rate, "host": host}
    shipped = [] if args.host else shipped_strain(args.event, args.detectors, args.seconds, args.rate)
    if shipped:
        found, said = (copy_shipped(path, folder) for path in shipped), "copied, as it ships"
    else:
        urls = find_urls(args.detectors, event=args.event, seconds=args.seconds, run=args.run_name, **asked)
        found, said = (download(url, folder) for url in urls), "fetched"
    paths = []
    for path, new in found:
        print(f"{shown(path)}: {said if new else 'is there already'}", flush=True)
        paths.append(str(shown(path)))
    print(f"next:  keras-gw-resnet search flagship {' '.join(paths)} --output events.hdf")


def add_import_g2net(subparsers: argparse._SubParsersAction) -> None:
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


def run_import_g2net(args: argparse.Namespace) -> None:
    """Convert the G2Net layout into one file of labelled windows."""
    from keras_gw_resnet.datasets.g2net import import_g2net

    check_output(args.output, args.overwrite)
    windows, signals = import_g2net(args.folder, args.output)
    print(f"{shown(args.output)}: {windows} windows, {signals} of them with a signal")
    print(f"next:  keras-gw-resnet train --model resnet18 --data {shown(args.output)} --out runs/g2net")
