"""The command 'train'."""

import contextlib
import csv
import os
import shutil
import sys
import time
from pathlib import Path

from keras_gw_resnet.backend import load_keras
from keras_gw_resnet.commands.printing import require_writable, shown
from keras_gw_resnet.commands.train_arguments import TEXT, old_names, parse_training
from keras_gw_resnet.errors import InputError, LostProcessError, flag
from keras_gw_resnet.files import FULL, written_aside
from keras_gw_resnet.owners import owned

# Longest time between the signals that a queue system sends to the processes of a job.
SIGNAL_SECONDS = 2.0


def add_train(subparsers):
    """List the command; its arguments are those of `TrainingConfig`, parsed by `parse_training`."""
    subparsers.add_parser("train", help=TEXT, add_help=False)


def run_train(argv):
    """Train a network, measure it on what was held out, and save it with its card.

    Args:
        argv: Arguments without the program's name.

    Raises:
        InputError: Its options are named as they were typed.
    """
    from keras_gw_resnet.training.names import in_words_of

    try:
        _run(argv)
    except InputError as error:
        raise InputError(in_words_of(str(error), old_names(argv))) from error


def _run(argv):
    from keras_gw_resnet.training.folder import CHECKPOINTS, check_folder, check_logs
    from keras_gw_resnet.training.stopping import stopping_on_sigterm, the_same_command

    config, run = parse_training(argv)
    out = Path(run.out)
    log_dir = Path(run.log_dir or out / "logs")
    existed, again = out.exists(), the_same_command(run.overwrite)
    check_folder(config, out, run.overwrite)
    check_logs(log_dir, out)
    with contextlib.ExitStack() as stack, stopping_on_sigterm(out, run.overwrite) as stopping:
        place = _prepare(config, run, out)
        stopping.watch(place)
        if place.first:  # of several processes that train together, this one writes
            stack.enter_context(owned(out, "choose another --out"))
            check_folder(config, out, run.overwrite)
        from keras_gw_resnet.training.data import load_batches

        batches = load_batches(config)
        if place.first:
            _say_new_names(argv)
        try:
            _train(config, batches, run, place, out, log_dir)
        except LostProcessError as error:
            # A queue system stops one process after the other: this one may be about to be stopped too.
            time.sleep(SIGNAL_SECONDS)
            # JAX would wait for the lost process at the end, and abort.
            print(f"keras-gw-resnet train: error: {error}", file=sys.stderr, flush=True)
            os._exit(2)
        except InputError:
            if place.first and not existed and not any((out / CHECKPOINTS).glob("*")):
                shutil.rmtree(out, ignore_errors=True)
            raise
        except OSError as error:
            if error.errno not in FULL:
                raise
            raise InputError(
                f"{out}: cannot be written ({error.strerror}); make room, and go on with {again}"
            ) from error


def _say_new_names(argv):
    """Say once how options are called now that were typed as before, when nothing else is to be said on stderr."""
    from keras_gw_resnet.training.names import flag_of

    said = [f"{flag(old)} is {flag_of(new)} now" for old, new in old_names(argv).items()]
    if said:
        print(f"keras-gw-resnet train: {', '.join(said)}; the old names work for this release", file=sys.stderr)


def _prepare(config, run, out):
    """Start backend and devices, and see that the network can be built, before any data are read."""
    from keras_gw_resnet.training.distribution import prepare

    if run.backend:
        os.environ["KERAS_BACKEND"] = run.backend
    place = load_keras(lambda: prepare(config, run.coordinator, run.processes, run.process_id), training=True)
    from keras_gw_resnet.training.folder import check_backend
    from keras_gw_resnet.training.growth import check_growth, phases_of
    from keras_gw_resnet.training.location import check_positions
    from keras_gw_resnet.training.optimization import new_network, whole_network

    check_backend(out, run.overwrite)
    network = new_network(config)
    if not network.trainable_weights:
        raise InputError(
            f"{config.network.model}: has no weights to train; an ensemble trains with --options.combine head"
        )
    _check_members(config)
    if config.ranking.statistic:
        whole_network(config)
    if config.signals.merger_tolerance:
        check_positions(network, config)
    if config.network.growth == "blockwise":
        check_growth(network, config)
        shortest = min(phase.last - phase.first for phase in phases_of(config))
        if config.optimisation.warmup_epochs >= shortest:
            raise InputError(
                f"--optimisation.warmup_epochs {config.optimisation.warmup_epochs} leaves nothing of the {shortest} epochs that a "
                "block is trained for; take fewer, or more --epochs"
            )
    return place


def _check_members(config):
    """Raise InputError where a network that joins saved ones would hand them strain they were not trained on."""
    from keras_gw_resnet.strain.conditioning import Whitening
    from keras_gw_resnet.zoo import load_card

    own = {"detectors": list(config.data.detectors), "whitening": config.data.whitening.to_dict()}
    for member in config.network.options.get("members", ()):
        card = load_card(member)
        card["whitening"] = Whitening(**card["whitening"]).to_dict()
        differing = [name for name, value in own.items() if card[name] != value]
        if differing:
            name = differing[0]
            raise InputError(f"{member}: was trained with {name} {card[name]}, not {own[name]}; leave it out")


def _train(config, batches, run, place, out, log_dir):
    import keras

    from keras_gw_resnet.models.graph import parts_of
    from keras_gw_resnet.search.calibration import UNKNOWN_TIMING, calibrate_statistic, calibrate_timing
    from keras_gw_resnet.search.scan import Scanner
    from keras_gw_resnet.training.fit import fit
    from keras_gw_resnet.training.folder import CHECKPOINTS, note_logs, remove_checkpoints
    from keras_gw_resnet.training.location import MEANT, coalescence_samples
    from keras_gw_resnet.zoo import save_model, training_of

    require_writable(out, "--out")
    require_writable(log_dir, "--log-dir")
    if place.first:
        note_logs(log_dir, out, run.overwrite or not (out / CHECKPOINTS).exists())
    bank, own = batches.held_out_bank, config.negatives
    if bank is not None and own.loud_share and not batches.training.shares["loud noise"]:
        print("NOTE: the noise has no loud places; --negatives.loud_share has nothing to show", flush=True)
    if bank is not None and own.hard_share and not batches.training.hard.ever_ready(config.epochs):
        print(
            "NOTE: hard noise is shown from the third epoch on; --negatives.hard_share has nothing to show", flush=True
        )
    if bank is not None and config.data.window_samples > bank.hplus.shape[1]:
        print(
            f"NOTE: windows of {config.data.window_samples / bank.sample_rate:g} s, but the bank keeps {bank.hplus.shape[1] / bank.sample_rate:g} s "
            "of each waveform; simulate one with a longer --duration",
            flush=True,
        )
    size = (
        f"{config.epochs} epochs of {config.optimisation.steps_per_epoch} batches of {config.optimisation.batch_size}"
    )
    print(f"{config.network.model} on {batches.description}: {size}, {place.description}", flush=True)
    model, history, best = fit(config, batches, out, place=place, log_dir=log_dir, overwrite=run.overwrite)
    if not place.first:
        return
    if batches.held_out_bank is None:
        timing, signals, precision = dict(UNKNOWN_TIMING), {}, "event times are not calibrated"
    else:
        taps = batches.training.noise.taps
        given = (Scanner(model), batches.held_out_bank, taps, config.data.detectors, config.data.whitening)
        timing, signals = calibrate_timing(*given), calibrate_statistic(*given)
        precision = f"event times good to {timing['spread_seconds']:.3f} s (68 %)"
    seconds = sum(row["seconds"] + row.get("search_seconds", 0.0) for row in history)
    card = {
        "name": run.name or out.name,
        "model": config.network.model,
        "options": {**config.network.options, **config.ranking.options()},
        "sample_rate": config.data.whitening.sample_rate,
        "detectors": list(config.data.detectors),
        "window_samples": config.data.window_samples,
        "whitening": config.data.whitening.to_dict(),
        "training": {
            "config": config.to_dict(),
            "data": batches.provenance,
            "seconds": round(seconds),
            "examples": len(history) * config.optimisation.steps_per_epoch * config.optimisation.batch_size,
            "machine": place.description,
            "backend": keras.config.backend(),
            "epochs": len(history),
            "epoch_kept": best["epoch"],
            "begun_with": training_of(config.network.options),
            **({MEANT: coalescence_samples(model, config)} if config.signals.merger_tolerance else {}),
        },
        "parts": parts_of(model).to_dict(),
        "metrics": {"validation": {name[4:]: value for name, value in best.items() if name.startswith("val_")}},
        "timing": timing,
        "signals": signals,
    }
    save_model(model, card, out)
    with written_aside(out / "history.csv") as aside, aside.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(dict.fromkeys(name for row in history for name in row)))
        writer.writeheader()
        writer.writerows(history)
    remove_checkpoints(out)
    _print_end(config, batches, best, precision, seconds, out, log_dir)


def _print_end(config, batches, best, precision, seconds, out, log_dir):
    detected = ""
    if batches.metric is not None:
        detected = (
            f"{100 * best['val_efficiency']:.1f} % of the {batches.metric.signals_are} detected at a false-alarm "
            f"probability of {batches.metric.false_alarm_probability:g} a window, "
        )
    print(
        f"epoch {best['epoch']} is kept: validation AUC {best['val_auc']:.4f}, {detected}{precision}\n"
        f"saved: {shown(out)}/model.keras, card.json, history.csv, after {seconds / 60:.1f} min of training\n"
        f"next:  keras-gw-resnet tensorboard {shown(log_dir)}"
    )
    if batches.held_out_bank is not None:
        print(
            f"       keras-gw-resnet evaluate {shown(out)} --data FOLDER\n"
            f"       keras-gw-resnet search {shown(out)} FILE... --output events.hdf"
        )
