"""The command 'train'."""

import argparse
import contextlib
import os
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from keras_gw_resnet.backend import load_keras
from keras_gw_resnet.commands.printing import require_writable, shown
from keras_gw_resnet.commands.train_arguments import old_names, parse_training
from keras_gw_resnet.commands.train_parser import TEXT
from keras_gw_resnet.errors import InputError, LostProcessError, flag
from keras_gw_resnet.files import FULL

# Longest time between the signals that a queue system sends to the processes of a job.
SIGNAL_SECONDS = 2.0


def add_train(subparsers: argparse._SubParsersAction) -> None:
    """List the command; its arguments are those of `TrainingConfig`, parsed by `parse_training`."""
    subparsers.add_parser("train", help=TEXT, add_help=False)


def run_train(argv: Sequence[str]) -> None:
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
    from keras_gw_resnet.training.folder import CHECKPOINTS, check_folder, check_logs, owned_folders
    from keras_gw_resnet.training.stopping import stopping_on_sigterm, the_same_command

    config, run = parse_training(argv)
    out, log_dir = Path(run.out), Path(run.log_dir or Path(run.out) / "logs")
    existed, again = out.exists(), the_same_command(run.overwrite)
    check_folder(config, out, run.overwrite)
    check_logs(log_dir, out)
    with contextlib.ExitStack() as stack, stopping_on_sigterm(out, run.overwrite) as stopping:
        place = _prepare(config, run, out)
        stopping.watch(place)
        if place.first:  # of several processes that train together, this one writes
            stack.enter_context(owned_folders(out, log_dir))
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

    if said := [f"{flag(old)} is {flag_of(new)} now" for old, new in old_names(argv).items()]:
        print(f"keras-gw-resnet train: {', '.join(said)}; the old names work for this release", file=sys.stderr)


def _prepare(config, run, out):
    """Start backend and devices, and see that the network can be built, before any data are read."""
    from keras_gw_resnet.training.distribution import prepare
    from keras_gw_resnet.zoo import load_card

    if run.backend:
        os.environ["KERAS_BACKEND"] = run.backend
    place = load_keras(lambda: prepare(config, run.coordinator, run.processes, run.process_id))
    from keras_gw_resnet.training.checks import check_members, check_network
    from keras_gw_resnet.training.folder import check_backend

    check_backend(out, run.overwrite)
    check_network(config)
    check_members(config, {name: load_card(name) for name in config.network.options.get("members", ())})
    return place


def _train(config, batches, run, place, out, log_dir):
    from keras_gw_resnet.training.card import card_of, write_history
    from keras_gw_resnet.training.checks import notes_on
    from keras_gw_resnet.training.fit import fit
    from keras_gw_resnet.training.folder import CHECKPOINTS, note_logs, remove_checkpoints
    from keras_gw_resnet.zoo import save_model, training_of

    require_writable(out, "--out")
    require_writable(log_dir, "--log-dir")
    if place.first:
        note_logs(log_dir, out, run.overwrite or not (out / CHECKPOINTS).exists())
    for note in notes_on(config, batches):
        print(f"NOTE: {note}", flush=True)
    own = config.optimisation
    size = f"{config.epochs} epochs of {own.steps_per_epoch} batches of {own.batch_size}"
    print(f"{config.network.model} on {batches.description}: {size}, {place.description}", flush=True)
    model, history, best = fit(config, batches, out, place=place, log_dir=log_dir, overwrite=run.overwrite)
    if not place.first:
        return
    begun_with = training_of(config.network.options)
    card = card_of(model, config, batches, history, best, place, begun_with=begun_with)
    save_model(model, {"name": run.name or out.name, **card}, out)
    write_history(history, out / "history.csv")
    remove_checkpoints(out)
    _print_end(batches, best, card, out, log_dir)


def _print_end(batches, best, card, out, log_dir):
    spread = card["timing"]["spread_seconds"]
    precision = "event times are not calibrated" if spread is None else f"event times good to {spread:.3f} s (68 %)"
    detected = "" if batches.metric is None else f"{batches.metric.told(best['val_efficiency'])}, "
    print(
        f"epoch {best['epoch']} is kept: validation AUC {best['val_auc']:.4f}, {detected}{precision}\n"
        f"saved: {shown(out)}/model.keras, card.json, history.csv, after {card['training']['seconds'] / 60:.1f} min of training\n"
        f"next:  keras-gw-resnet tensorboard {shown(log_dir)}"
    )
    if batches.held_out_bank is not None:
        print(
            f"       keras-gw-resnet evaluate {shown(out)} --data FOLDER\n"
            f"       keras-gw-resnet search {shown(out)} FILE... --output events.hdf"
        )
