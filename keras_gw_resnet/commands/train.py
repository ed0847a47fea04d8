"""The command 'train'."""

import csv
import json
import shutil
import sys

from keras_gw_resnet.backend import load_keras
from keras_gw_resnet.commands.arguments import (
    add_command,
    add_detectors,
    add_quality,
    finite,
    name_of,
    path_of,
    positive,
    seed,
)
from keras_gw_resnet.commands.printing import require_writable, shown
from keras_gw_resnet.errors import InputError
from keras_gw_resnet.files import written_aside


def add_train(subparsers):
    """Add the command 'train'."""
    parser = add_command(
        subparsers,
        "train",
        run_train,
        "train a network on strain files and a waveform bank",
        "python train.py --model resnet18 --width 16 --data data/train --out runs/first --epochs 10",
    )
    add = parser.add_argument
    add("--model", required=True, help="name of a network, see 'keras-gw-resnet models'")
    add(
        "--data",
        required=True,
        type=path_of,
        metavar="DIR",
        help="folder with strain files (HDF5) and a waveform bank, or a file of labelled windows",
    )
    add("--out", required=True, type=path_of, metavar="DIR", help="where model.keras, card.json and checkpoints go")
    add("--name", type=name_of, help="name in the card (default: that of the --out folder)")
    add("--epochs", type=int, default=20, metavar="N", help="default: 20")
    add("--steps-per-epoch", type=int, default=200, metavar="N", help="batches an epoch (default: 200)")
    add("--batch-size", type=int, default=128, metavar="N", help="examples a batch, over all devices (default: 128)")
    add("--learning-rate", type=finite, default=2e-3, metavar="X", help="peak of the cosine schedule (default: 0.002)")
    add("--seed", type=seed, default=0, metavar="N", help="of weights, examples and dropout (default: 0)")
    add("--log-dir", type=path_of, metavar="DIR", help="for TensorBoard (default: OUT/logs)")
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
    group.add_argument("--dropout", type=finite, metavar="X", help="before the last layer (default: 0)")
    group.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="any other option of the network's constructor, as JSON: --option zero_init=true",
    )
    group.add_argument(
        "--input-statistics", type=path_of, metavar="FILE", help="mean and variance of the input, for residual-cnn"
    )
    group.add_argument(
        "--window-samples",
        type=positive,
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
        "--snr", type=finite, nargs=2, default=(5.0, 20.0), metavar=("LOW", "HIGH"), help="default: 5 20"
    )
    group.add_argument(
        "--merger",
        type=finite,
        nargs=2,
        default=(0.65, 0.85),
        metavar=("LOW", "HIGH"),
        help="coalescence as a share of the window (default: 0.65 0.85)",
    )
    group.add_argument(
        "--lone-signal-share",
        type=finite,
        default=0.2,
        metavar="X",
        help="negatives with one detector's signal (default: 0.2)",
    )
    for name, text in (
        ("glitch", "negatives with a simulated glitch in one detector"),
        ("inconsistent", "negatives with a signal whose arrival times exceed the light travel time"),
        ("loud", "negatives from the loudest places of the noise files"),
    ):
        group.add_argument(f"--{name}-share", type=finite, default=0.0, metavar="X", help=f"{text} (default: 0)")
    group.add_argument(
        "--snr-power", type=finite, default=0.0, metavar="P", help="SNR falls with this power (default: 0, uniform)"
    )
    group.add_argument(
        "--snr-start", type=finite, nargs=2, metavar=("LOW", "HIGH"), help="range at the start of a curriculum"
    )
    group.add_argument(
        "--curriculum-epochs", type=int, default=0, metavar="N", help="epochs from --snr-start to --snr (default: 0)"
    )
    group.add_argument("--validation-share", type=finite, default=0.1, metavar="X", help="held out (default: 0.1)")
    add_detectors(group, default=None)
    add_quality(group)


def run_train(args):
    """Train a network, measure it on what was held out, and save it with its card."""
    from keras_gw_resnet.strain.conditioning import Whitening
    from keras_gw_resnet.training.config import TrainingConfig
    from keras_gw_resnet.training.data import load_batches

    detectors, window_samples, rate = _shape_of_data(args)
    config = TrainingConfig(
        model=args.model,
        options=_model_options(args),
        data=str(args.data),
        noise=args.noise,
        psds=tuple(args.psd),
        detectors=detectors,
        window_samples=window_samples,
        whitening=Whitening(sample_rate=rate),
        epochs=args.epochs,
        steps_per_epoch=args.steps_per_epoch,
        batch_size=args.batch_size,
        learning_rate=args.learning_rate,
        seed=args.seed,
        snr_range=tuple(args.snr),
        snr_power=args.snr_power,
        snr_start=tuple(args.snr_start) if args.snr_start else None,
        curriculum_epochs=args.curriculum_epochs,
        glitch_share=args.glitch_share,
        inconsistent_share=args.inconsistent_share,
        loud_share=args.loud_share,
        merger_range=tuple(args.merger),
        lone_signal_share=args.lone_signal_share,
        validation_share=args.validation_share,
        quality=tuple(args.quality),
        devices=args.devices,
    )
    existed = args.out.exists()
    _check_run_folder(config, args)
    devices = _prepare_training(config)
    batches = load_batches(config)
    log_dir = args.log_dir or args.out / "logs"
    try:
        _train(config, batches, args, devices, log_dir)
    except InputError:
        if not existed and not any((args.out / "checkpoints").glob("*")):
            shutil.rmtree(args.out, ignore_errors=True)
        raise


def _model_options(args):
    options = {
        "width": args.width,
        "kernel_size": tuple(args.kernel_size) if args.kernel_size and len(args.kernel_size) > 1 else None,
        "stem_kernel_size": args.stem_kernel_size,
        "dropout": args.dropout,
    }
    if args.kernel_size and len(args.kernel_size) == 1:
        options["kernel_size"] = args.kernel_size[0]
    for assignment in args.option:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise InputError(f"--option {assignment}: expected NAME=VALUE, for example blocks=8")
        try:
            options[name.replace("-", "_")] = json.loads(value)
        except ValueError:
            options[name.replace("-", "_")] = value
    if args.input_statistics:
        try:
            measured = json.loads(args.input_statistics.read_text())
            options.update(mean=measured["mean"], variance=measured["variance"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{args.input_statistics}: cannot be read as statistics; make it with 'keras-gw-resnet statistics'"
            ) from error
    return {name: list(v) if isinstance(v, tuple) else v for name, v in options.items() if v is not None}


def _shape_of_data(args):
    """Return detectors, samples of a window and sample rate: as asked for, or those of a file of labelled windows."""
    from keras_gw_resnet.datasets.windows import open_windows

    if not args.data.is_file():
        return tuple(args.detectors or ("H1", "L1")), args.window_samples or 2048, 2048
    header = open_windows(args.data)
    return tuple(args.detectors or header.detectors), args.window_samples or header.samples, header.sample_rate


def _check_run_folder(config, args):
    from keras_gw_resnet.training.folder import check_folder

    check_folder(config, args.out, args.overwrite)
    if args.log_dir and args.log_dir.is_file():
        raise InputError(f"{args.log_dir}: is a file; --log-dir takes a folder")


def _prepare_training(config):
    """Start the devices, and see that the network can be built and searched with, before any data are read."""
    from keras_gw_resnet.training.distribution import prepare_devices

    devices = load_keras(lambda: prepare_devices(config.devices), training=True)
    from keras_gw_resnet.models.registry import build_model
    from keras_gw_resnet.search.scan import Scanner

    Scanner(build_model(config.model, input_shape=(config.window_samples, len(config.detectors)), **config.options))
    return devices


def _train(config, batches, args, devices, log_dir):
    from keras_gw_resnet.search.calibration import UNKNOWN_TIMING, calibrate_timing
    from keras_gw_resnet.training.fit import fit
    from keras_gw_resnet.zoo import save_model

    require_writable(args.out, "--out")
    require_writable(log_dir, "--log-dir")
    if config.loud_share and batches.held_out_bank and not batches.training.settings.loud_share:
        print("NOTE: the noise has no loud places; --loud-share has nothing to show", flush=True)
    print(
        f"{config.model} on {batches.description}: {config.epochs} epochs of {config.steps_per_epoch} batches of "
        f"{config.batch_size}",
        flush=True,
    )
    model, history, seconds = fit(
        config,
        batches,
        args.out,
        devices=devices,
        log_dir=log_dir,
        overwrite=args.overwrite,
        verbose=1 if sys.stdout.isatty() else 2,
    )
    last = history[-1]
    if batches.held_out_bank is None:
        timing, precision = dict(UNKNOWN_TIMING), "event times are not calibrated"
    else:
        taps = batches.training.noise.taps
        timing = calibrate_timing(model, batches.held_out_bank, taps, config.detectors, config.whitening)
        precision = f"event times good to {timing['spread_seconds']:.3f} s (68 %)"
    card = {
        "name": args.name or args.out.name,
        "model": config.model,
        "options": config.options,
        "sample_rate": config.whitening.sample_rate,
        "detectors": list(config.detectors),
        "window_samples": config.window_samples,
        "whitening": config.whitening.to_dict(),
        "training": {"config": config.to_dict(), "data": batches.provenance, "seconds_in_last_call": round(seconds)},
        "metrics": {"validation": {name[4:]: value for name, value in last.items() if name.startswith("val_")}},
        "timing": timing,
    }
    save_model(model, card, args.out)
    with written_aside(args.out / "history.csv") as aside, aside.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(last))
        writer.writeheader()
        writer.writerows(history)
    shutil.rmtree(args.out / "checkpoints", ignore_errors=True)
    print(
        f"validation AUC {last['val_auc']:.4f} on what was held out; {precision}\n"
        f"saved: {shown(args.out)}/model.keras, card.json, history.csv\n"
        f"next:  tensorboard --logdir {shown(log_dir)}"
    )
    if batches.held_out_bank is not None:
        print(
            f"       keras-gw-resnet evaluate {shown(args.out)} --data FOLDER\n"
            f"       keras-gw-resnet search {shown(args.out)} FILE... --output events.hdf"
        )
