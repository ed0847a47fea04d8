"""The command line: parse, call, exit code."""

import argparse
import math
import os
import sys
from pathlib import Path

from keras_gw_resnet import __version__, commands
from keras_gw_resnet.errors import InputError
from keras_gw_resnet.files import HDF5_SUFFIXES

PROGRAM = "keras-gw-resnet"


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        self.exit(2, f"{self.prog}: error: {message} (see '{self.prog} --help')\n")


def _positive(text):
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text}; expected at least 1")
    return number


def _seed(text):
    if not 0 <= (number := int(text)) < 2**32:
        raise argparse.ArgumentTypeError(f"{text}; expected a whole number from 0 to {2**32 - 1}")
    return number


def _finite(text):
    if not math.isfinite(number := float(text)):
        raise argparse.ArgumentTypeError(f"{text}; expected a finite number")
    return number


def _path(text):
    if not text.strip():
        raise argparse.ArgumentTypeError("is empty; expected a path")
    return Path(text)


def _hdf5(text):
    if (path := _path(text)).suffix not in HDF5_SUFFIXES:
        raise argparse.ArgumentTypeError(f"{text}; expected a name that ends in .hdf, .hdf5 or .h5")
    return path


def _name(text):
    if not text.strip() or "/" in text:
        raise argparse.ArgumentTypeError(f"{text!r}; expected a name without a slash")
    return text


class _Detectors(argparse.Action):
    def __call__(self, parser, namespace, values, option_string=None):
        if len(set(values)) < len(values):
            raise argparse.ArgumentError(self, f"{' '.join(values)}; expected each detector once")
        setattr(namespace, self.dest, values)


def _picture(text):
    if (path := _path(text)).suffix not in (".png", ".pdf", ".svg"):
        raise argparse.ArgumentTypeError(f"{text}; expected a name that ends in .png, .pdf or .svg")
    return path


def _command(subparsers, name, run, text, example):
    parser = subparsers.add_parser(
        name,
        help=text,
        description=text,
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


def _add_detectors(parser, default=("H1", "L1")):
    parser.add_argument(
        "--detectors",
        nargs="+",
        action=_Detectors,
        default=default and list(default),
        metavar="NAME",
        help="default: H1 L1" if default else "default: H1 L1, or those of labelled windows",
    )


def _add_quality(parser):
    parser.add_argument(
        "--quality",
        nargs="+",
        default=[],
        metavar="FLAG",
        help="use strain with these GWOSC flags only, for example CBC_CAT1 NO_CBC_HW_INJ",
    )


def _add_strict(parser):
    parser.add_argument("--strict", action="store_true", help="refuse data that the network has seen in training")


def _add_train(subparsers):
    parser = _command(
        subparsers,
        "train",
        commands.run_train,
        "train a network on strain files and a waveform bank",
        "python train.py --model resnet18 --width 16 --data data/train --out runs/first --epochs 10",
    )
    add = parser.add_argument
    add("--model", required=True, help="name of a network, see 'keras-gw-resnet models'")
    add(
        "--data",
        required=True,
        type=_path,
        metavar="DIR",
        help="folder with strain files (HDF5) and a waveform bank, or a file of labelled windows",
    )
    add("--out", required=True, type=_path, metavar="DIR", help="where model.keras, card.json and checkpoints go")
    add("--name", type=_name, help="name in the card (default: that of the --out folder)")
    add("--epochs", type=int, default=20, metavar="N", help="default: 20")
    add("--steps-per-epoch", type=int, default=200, metavar="N", help="batches an epoch (default: 200)")
    add("--batch-size", type=int, default=128, metavar="N", help="examples a batch, over all devices (default: 128)")
    add("--learning-rate", type=_finite, default=2e-3, metavar="X", help="peak of the cosine schedule (default: 0.002)")
    add("--seed", type=_seed, default=0, metavar="N", help="of weights, examples and dropout (default: 0)")
    add("--log-dir", type=_path, metavar="DIR", help="for TensorBoard (default: OUT/logs)")
    add(
        "--devices",
        type=int,
        metavar="N",
        help="local devices to mirror the network on (default: all GPUs, or the CPU)",
    )
    add("--overwrite", action="store_true", help="start afresh in an --out folder that holds a run")
    group = parser.add_argument_group("network")
    group.add_argument("--width", type=int, metavar="N", help="channels of the first stage (default: 64)")
    group.add_argument("--kernel-size", type=int, nargs="+", metavar="N", help="one, or one a stage (default: 3)")
    group.add_argument("--stem-kernel-size", type=int, metavar="N", help="of the first convolution (default: 15)")
    group.add_argument("--dropout", type=_finite, metavar="X", help="before the last layer (default: 0)")
    group.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="any other option of the network's constructor, as JSON: --option zero_init=true",
    )
    group.add_argument(
        "--input-statistics", type=_path, metavar="FILE", help="mean and variance of the input, for residual-cnn"
    )
    group.add_argument(
        "--window-samples",
        type=_positive,
        metavar="N",
        help="input length (default: 2048, or that of labelled windows)",
    )
    group = parser.add_argument_group("examples")
    group.add_argument(
        "--noise", default="files", help="'files' (default), 'gaussian': simulated afresh, or 'both' in equal shares"
    )
    group.add_argument(
        "--psd", nargs="+", default=[], metavar="PSD", help="names or files, for --noise gaussian and both"
    )
    group.add_argument(
        "--snr", type=_finite, nargs=2, default=(5.0, 20.0), metavar=("LOW", "HIGH"), help="default: 5 20"
    )
    group.add_argument(
        "--merger",
        type=_finite,
        nargs=2,
        default=(0.65, 0.85),
        metavar=("LOW", "HIGH"),
        help="coalescence as a share of the window (default: 0.65 0.85)",
    )
    group.add_argument(
        "--lone-signal-share",
        type=_finite,
        default=0.2,
        metavar="X",
        help="negatives with one detector's signal (default: 0.2)",
    )
    for name, text in (
        ("glitch", "negatives with a simulated glitch in one detector"),
        ("inconsistent", "negatives with a signal whose arrival times exceed the light travel time"),
        ("loud", "negatives from the loudest places of the noise files"),
    ):
        group.add_argument(f"--{name}-share", type=_finite, default=0.0, metavar="X", help=f"{text} (default: 0)")
    group.add_argument(
        "--snr-power", type=_finite, default=0.0, metavar="P", help="SNR falls with this power (default: 0, uniform)"
    )
    group.add_argument(
        "--snr-start", type=_finite, nargs=2, metavar=("LOW", "HIGH"), help="range at the start of a curriculum"
    )
    group.add_argument(
        "--curriculum-epochs", type=int, default=0, metavar="N", help="epochs from --snr-start to --snr (default: 0)"
    )
    group.add_argument("--validation-share", type=_finite, default=0.1, metavar="X", help="held out (default: 0.1)")
    _add_detectors(group, default=None)
    _add_quality(group)


def _add_evaluate(subparsers):
    parser = _command(
        subparsers,
        "evaluate",
        commands.run_evaluate,
        "measure AUC and detected fraction on simulated signals in held-out noise, or the sensitive distance on a test set",
        "python evaluate.py runs/first --data data/test --output runs/first-evaluation\n"
        "  python evaluate.py resnet18-w16 --foreground data/set3/foreground.hdf --background data/set3/background.hdf "
        "--injections data/set3/injections.hdf",
    )
    add = parser.add_argument
    add("model", metavar="MODEL", help="name of a saved network, its folder, or its model.keras")
    add("--data", type=_path, metavar="DIR", help="folder with strain files and a waveform bank")
    group = parser.add_argument_group("or, for the sensitive distance at a false-alarm rate, a set with injections")
    group.add_argument("--foreground", type=_path, metavar="FILE", help="strain with injections")
    group.add_argument("--background", type=_path, metavar="FILE", help="strain without")
    group.add_argument("--injections", type=_path, metavar="FILE", help="their parameters")
    add("--output", type=_path, metavar="DIR", help="default: runs/evaluation-NAME, or runs/sensitivity-NAME")
    add(
        "--snr", type=_finite, nargs=2, default=(8.0, 20.0), metavar=("LOW", "HIGH"), help="network SNR (default: 8 20)"
    )
    add("--windows", type=int, default=30000, metavar="N", help="half of them with a signal (default: 30000)")
    add("--seed", type=_seed, default=1, metavar="N", help="of the examples (default: 1)")
    add("--overwrite", action="store_true", help="replace an existing output folder")
    _add_quality(parser)
    _add_strict(parser)


def _add_search(subparsers):
    parser = _command(
        subparsers,
        "search",
        commands.run_search,
        "search strain files for events with a saved network",
        "keras-gw-resnet search resnet18-w16 H-H1.hdf5 L-L1.hdf5 --output events.hdf --plot loudest.png",
    )
    add = parser.add_argument
    add("model", metavar="MODEL", help="name of a saved network, its folder, or its model.keras")
    add("strain", nargs="+", metavar="FILE", help="strain files, folders or patterns with all detectors of the network")
    add("--output", required=True, type=_hdf5, metavar="FILE", help="events as HDF5; a .csv is written beside it")
    add("--plot", type=_picture, metavar="FILE", help="picture of the loudest event")
    add(
        "--threshold",
        type=_finite,
        default=-4.0,
        metavar="X",
        help="lowest statistic (logit) of an event (default: -4)",
    )
    add("--top", type=_positive, default=10, metavar="N", help="events to print (default: 10)")
    add("--overwrite", action="store_true", help="replace existing output files")
    _add_quality(parser)
    _add_strict(parser)


def _add_simulate(subparsers):
    parser = subparsers.add_parser("simulate", help="simulate waveforms and noise")
    kinds = parser.add_subparsers(required=True, metavar="KIND", dest="kind", parser_class=_Parser)
    bank = _command(
        kinds,
        "bank",
        commands.run_simulate_bank,
        "simulate a bank of binary black hole waveforms (PyCBC)",
        "keras-gw-resnet simulate bank --population set3 --number 2000 --output data/train/bank.hdf",
    )
    bank.add_argument("--number", type=_positive, default=2000, metavar="N", help="waveforms (default: 2000)")
    bank.add_argument(
        "--duration", type=_finite, default=2.0, metavar="S", help="seconds kept of each, up to 16 (default: 2)"
    )
    noise = _command(
        kinds,
        "noise",
        commands.run_simulate_noise,
        "simulate coloured Gaussian noise as strain files in MLGWSC-1 layout",
        "keras-gw-resnet simulate noise --segments 6 --segment-seconds 300 --output data/train/noise.hdf",
    )
    noise.add_argument("--segments", type=_positive, default=6, metavar="N", help="default: 6")
    noise.add_argument("--segment-seconds", type=_positive, default=300, metavar="S", help="default: 300")
    noise.add_argument(
        "--psd",
        nargs="+",
        default=["aLIGOZeroDetHighPower"],
        metavar="PSD",
        help="names, files, or folders with a folder of files a detector; one is drawn for each segment and detector "
        "(default: aLIGOZeroDetHighPower)",
    )
    mock = _command(
        kinds,
        "set",
        commands.run_simulate_set,
        "simulate a test set in MLGWSC-1 layout: foreground, background and injections",
        "keras-gw-resnet simulate set --population set3 --duration 21600 --seed 7 --output data/set3",
    )
    mock.add_argument("--duration", type=_positive, default=21600, metavar="S", help="whole seconds (default: 21600)")
    mock.add_argument(
        "--psd",
        nargs="+",
        default=[],
        metavar="PSD",
        help="names, files, or folders with a folder of files a detector (default: the population's)",
    )
    mock.add_argument("--output", required=True, type=_path, metavar="DIR", help="folder to write")
    for each in (bank, mock):
        each.add_argument(
            "--population",
            default="set3",
            help="set1, set2 or set3 of MLGWSC-1, or a YAML file (default: set3)",
        )
        each.add_argument("--processes", type=_positive, metavar="N", help="default: one a core")
    for each in (bank, noise):
        each.add_argument("--output", required=True, type=_hdf5, metavar="FILE", help="HDF5 file to write")
    for each in (bank, noise, mock):
        each.add_argument("--seed", type=_seed, default=0, metavar="N", help="default: 0")
        each.add_argument("--overwrite", action="store_true", help="replace an existing file")
        _add_detectors(each)


def _add_models(subparsers):
    parser = _command(
        subparsers,
        "models",
        commands.run_models,
        "list the networks of the zoo, or draw one",
        "keras-gw-resnet models 'resnet1*'\n  keras-gw-resnet models highway20 --plot highway20.png",
    )
    parser.add_argument(
        "pattern", nargs="?", default="*", metavar="PATTERN", help="name or shell pattern (default: all)"
    )
    parser.add_argument(
        "--width", type=_positive, metavar="N", help="channels of the first stage (default: the network's)"
    )
    parser.add_argument("--plot", type=_picture, metavar="FILE", help="draw the network of this name instead")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing picture")


def _add_statistics(subparsers):
    parser = _command(
        subparsers,
        "statistics",
        commands.run_statistics,
        "measure mean and variance of whitened strain, for networks that normalise their input",
        "keras-gw-resnet statistics data/train/noise.hdf --output statistics.json\n"
        "  python train.py --model residual-cnn --input-statistics statistics.json --data data/train --out runs/cnn",
    )
    parser.add_argument("strain", nargs="+", metavar="FILE", help="strain files, folders or patterns")
    parser.add_argument("--output", required=True, type=_path, metavar="FILE", help="JSON file to write")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    _add_detectors(parser)
    _add_quality(parser)


def _add_fetch(subparsers):
    parser = _command(
        subparsers,
        "fetch",
        commands.run_fetch,
        "fetch open strain data from gwosc.org into the cache; an interrupted transfer goes on where it stopped",
        "keras-gw-resnet fetch GW150914\n  keras-gw-resnet fetch --run O3a --start 1242440000 --duration 8192 --output data/o3a",
    )
    add = parser.add_argument
    add("event", nargs="?", metavar="EVENT", help="name of an event, for example GW150914")
    add("--seconds", type=int, choices=(32, 4096), default=32, help="length of an event's files (default: 32)")
    add("--run", dest="run_name", metavar="RUN", help="observing run, for example O3a, with --start and --duration")
    add("--start", type=_positive, metavar="GPS", help="GPS second")
    add("--duration", type=_positive, metavar="S", help="seconds")
    add("--rate", type=int, choices=(4096, 16384), default=4096, help="sample rate in Hz (default: 4096)")
    add("--output", type=_path, metavar="DIR", help="default: the user's cache, keras_gw_resnet/gwosc")
    add("--host", default="https://gwosc.org", metavar="URL", help="server (default: https://gwosc.org)")
    _add_detectors(parser)


def _add_import_g2net(subparsers):
    parser = _command(
        subparsers,
        "import-g2net",
        commands.run_import_g2net,
        "convert the G2Net layout (training_labels.csv and train/a/b/c/ID.npy) into one file of labelled windows",
        "keras-gw-resnet import-g2net g2net --output windows.hdf5\n"
        "  keras-gw-resnet train --model resnet18 --data windows.hdf5 --out runs/g2net",
    )
    parser.add_argument("folder", type=_path, metavar="DIR", help="folder with training_labels.csv and train/")
    parser.add_argument("--output", required=True, type=_hdf5, metavar="FILE", help="HDF5 file to write")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")


def _add_inspect(subparsers):
    parser = _command(
        subparsers,
        "inspect",
        commands.run_inspect,
        "show what strain files hold: segments, flags, noise level, glitches; or what training examples look like",
        "keras-gw-resnet inspect H-H1.hdf5 L-L1.hdf5 --plot strain.png\n"
        "  keras-gw-resnet inspect data/train --examples 12 --plot examples.png",
    )
    parser.add_argument("strain", nargs="+", metavar="FILE", help="strain files, folders or patterns")
    parser.add_argument("--plot", type=_picture, metavar="FILE", help="draw spectrum and whitened strain")
    parser.add_argument(
        "--examples", type=_positive, metavar="N", help="draw training examples made from a folder instead"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an existing picture")
    _add_quality(parser)


def _add_export(subparsers):
    parser = _command(
        subparsers,
        "export",
        commands.run_export,
        "export a saved network to another format, read it back and compare",
        "keras-gw-resnet export resnet18-w16 --format savedmodel --output exported",
    )
    parser.add_argument("model", metavar="MODEL", help="name of a saved network, its folder, or its model.keras")
    parser.add_argument("--format", required=True, choices=("savedmodel", "onnx"), help="TensorFlow SavedModel or ONNX")
    parser.add_argument("--output", required=True, type=_path, metavar="DIR", help="folder to write")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing folder")


def build_parser():
    """Return the parser of all commands."""
    parser = _Parser(prog=PROGRAM, description="Residual networks that find gravitational waves in detector strain.")
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND", dest="command", parser_class=_Parser)
    _add_train(subparsers)
    _add_evaluate(subparsers)
    _add_search(subparsers)
    _add_simulate(subparsers)
    _add_models(subparsers)
    _add_statistics(subparsers)
    _add_fetch(subparsers)
    _add_import_g2net(subparsers)
    _add_inspect(subparsers)
    _add_export(subparsers)
    demo = _command(
        subparsers,
        "demo",
        commands.run_demo,
        "simulate, train, evaluate and search: the whole job in some minutes",
        "keras-gw-resnet demo --folder runs/demo",
    )
    demo.add_argument("--folder", type=_path, default=Path("runs/demo"), metavar="DIR", help="default: runs/demo")
    demo.add_argument("--seed", type=_seed, default=0, metavar="N", help="of the training (default: 0)")
    return parser


def main(argv=None):
    """Run a command.

    Args:
        argv: Arguments without the program's name; None: those of the process.

    Returns:
        Exit code: 0, or 2 after one line on stderr where the input cannot be used.
    """
    args = build_parser().parse_args(argv)
    try:
        args.run(args)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of a pipe, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (InputError, OSError, MemoryError) as error:
        print(f"{PROGRAM} {args.command}: error: {_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{PROGRAM} {args.command}: interrupted; the same command goes on where it can", file=sys.stderr)
        return 130
    return 0


def _line(error):
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__
