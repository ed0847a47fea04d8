"""The command 'simulate': waveforms, noise and test sets."""

import argparse

from keras_gw_resnet.commands.arguments import Parser, add_command
from keras_gw_resnet.commands.printing import shown
from keras_gw_resnet.commands.set_noise import noise_of
from keras_gw_resnet.commands.simulate_arguments import add_simulate_arguments
from keras_gw_resnet.files import check_output, written_aside


def add_simulate(subparsers: argparse._SubParsersAction) -> None:
    """Add the command 'simulate'."""
    parser = subparsers.add_parser("simulate", help="simulate waveforms and noise")
    kinds = parser.add_subparsers(required=True, metavar="KIND", dest="kind", parser_class=Parser)
    bank = add_command(
        kinds,
        "bank",
        run_simulate_bank,
        "simulate a bank of binary black hole waveforms (PyCBC)",
        "keras-gw-resnet simulate bank --population set3 --number 2000 --output data/train/bank.hdf",
    )
    noise = add_command(
        kinds,
        "noise",
        run_simulate_noise,
        "simulate coloured Gaussian noise as strain files in MLGWSC-1 layout",
        "keras-gw-resnet simulate noise --segments 6 --segment-seconds 300 --output data/train/noise.hdf",
    )
    mock = add_command(
        kinds,
        "set",
        run_simulate_set,
        "simulate a test set in MLGWSC-1 layout: foreground, background and injections",
        "keras-gw-resnet simulate set --population set3 --duration 21600 --seed 7 --output data/set3",
    )
    add_simulate_arguments(bank, noise, mock)


def run_simulate_bank(args: argparse.Namespace) -> None:
    """Simulate a waveform bank."""
    from keras_gw_resnet.simulation.bank import save_bank
    from keras_gw_resnet.simulation.populations import get_population
    from keras_gw_resnet.simulation.waveforms import make_bank

    check_output(args.output, args.overwrite)
    get_population(args.population)
    bank = make_bank(
        args.population,
        args.number,
        seed=args.seed,
        duration_seconds=args.duration,
        detectors=args.detectors,
        processes=args.processes,
    )
    save_bank(bank, args.output)
    print(f"{shown(args.output)}: {len(bank)} waveforms of {args.population}, fingerprint {bank.fingerprint()}")


def run_simulate_noise(args: argparse.Namespace) -> None:
    """Simulate coloured Gaussian noise."""
    from keras_gw_resnet.simulation.noise import write_noise
    from keras_gw_resnet.simulation.sets import psds_of

    check_output(args.output, args.overwrite)
    write_noise(
        args.output,
        psds=psds_of(args.psd, args.detectors),
        segments=args.segments,
        segment_seconds=args.segment_seconds,
        seed=args.seed,
        detectors=args.detectors,
    )
    total = args.segments * args.segment_seconds
    print(
        f"{shown(args.output)}: {total} s of simulated Gaussian noise of {', '.join(args.detectors)} in {args.segments} segments"
    )


def run_simulate_set(args: argparse.Namespace) -> None:
    """Simulate a test set: foreground, background and injections."""
    from keras_gw_resnet.simulation.populations import get_population
    from keras_gw_resnet.simulation.sets import FILES, GLITCHES_FILE, write_set

    check_output(args.output, args.overwrite, folder_of=(*FILES, GLITCHES_FILE))
    given = noise_of(args, args.detectors, 2048)
    noise, glitches = given["noise"], given["glitches"]
    with written_aside(args.output) as aside:
        aside.mkdir()
        made = write_set(
            aside,
            args.population,
            duration_seconds=args.duration,
            seed=args.seed,
            psds=args.psd,
            detectors=args.detectors,
            processes=args.processes,
            **given,
        )
    what = "measured noise" if noise else "simulated Gaussian noise"
    print(
        f"{shown(args.output)}: {made.seconds} s of {what} of {', '.join(args.detectors)} "
        f"with and without {made.injections} injections of {args.population}: {', '.join(FILES)}"
    )
    if noise:
        for detector, (distinct, most) in made.usage.items():
            mean = made.seconds / distinct
            print(
                f"{detector}: {distinct} s of strain, each used {mean:.1f} times in the mean and {most} times at most"
            )
        if noise.events:
            print(f"left out: 4 s before and after {', '.join(noise.events)}")
    elif glitches is not None:
        print(f"{made.glitches} glitches of {args.glitches.name} in it: {GLITCHES_FILE}")
    if not args.psd and not noise:
        psd = get_population(args.population).psd
        print(f"noise spectrum: {psd}, analytic; --psd DIR takes measured ones, such as the challenge's")
