"""The command 'inspect': what strain files hold, or what training examples look like."""

import argparse

from keras_gw_resnet.commands.arguments import add_command, add_quality, picture, positive
from keras_gw_resnet.commands.printing import shown, table
from keras_gw_resnet.errors import InputError
from keras_gw_resnet.files import check_output

MOST_EXAMPLES = 64


def add_inspect(subparsers: argparse._SubParsersAction) -> None:
    """Add the command 'inspect'."""
    parser = add_command(
        subparsers,
        "inspect",
        run_inspect,
        "show what strain files hold: segments, flags, noise level, glitches; or what training examples look like",
        "keras-gw-resnet inspect H-H1.hdf5 L-L1.hdf5 --plot strain.png\n  keras-gw-resnet inspect GW150914\n"
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


def run_inspect(args: argparse.Namespace) -> None:
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
    from keras_gw_resnet.strain import inspection

    groups = inspection.find_groups(args.strain, args.quality, args.channel)
    print(table(*inspection.segment_table([h for group in groups for h in group])))
    for group in groups:
        rows, header = inspection.flag_table(group)
        if rows:
            print(f"\nseconds with each flag set, {inspection.name_source(group)}:")
            print(table(rows, header))
    wanted = [(group, detector) for group in groups for detector in sorted({h.detector for h in group})]
    bar = Bar(wanted, desc="whitening", unit="detector", leave=False)
    reports = [inspection.inspect_detector(group, detector) for group, detector in bar]
    print()
    print(table(*inspection.noise_table(reports)))
    if args.plot:
        from keras_gw_resnet.evaluation.plots import plot_strain

        plot_strain(reports, args.plot)


def _inspect_examples(args):
    """Draw what a training on these data would show its network; with --config, that of a certain training."""
    if not args.plot or len(args.strain) != 1:
        raise InputError("--examples takes one folder of data, or file of labelled windows, and --plot FILE")
    if args.examples > MOST_EXAMPLES:
        raise InputError(f"--examples is {args.examples}; expected at most {MOST_EXAMPLES}, more cannot be told apart")
    from keras_gw_resnet.commands.train_arguments import parse_training
    from keras_gw_resnet.datasets.negatives import TABLE
    from keras_gw_resnet.evaluation.window_plots import example_titles, plot_examples
    from keras_gw_resnet.training.data import load_batches

    # Unless a training says otherwise, examples show every kind of negative that needs no file.
    shares = [kind.share for kind in TABLE.values() if not kind.from_files]
    every = [part for share in shares for part in (f"--negatives.{share}", "0.2")]
    options = ["--config", args.config] if args.config else ["--model", "resnet18", *every]
    quality = ["--data.quality", *args.quality] if args.quality else []
    channel = ["--data.channel", *args.channel] if args.channel else []
    config, _ = parse_training([*options, *quality, *channel, "--data", args.strain[0], "--out", "-"])
    # What only a training needs is kept small.
    size = {"optimisation.batch_size": max(2, args.examples), "devices.number": None}
    size["metric"] = {"batches": 1, "signal_windows": 1, "noise_windows": 20, "false_alarm_probability": 0.9}
    batches = load_batches(config.changed(**size)).training
    examples, titles = example_titles(batches)
    title = f"training examples from {args.strain[0]}"
    shown_now = slice(0, args.examples)
    rate, detectors = config.data.whitening.sample_rate, config.data.detectors or ()
    plot_examples(examples.strain[shown_now], titles[shown_now], detectors, rate, args.plot, title)
