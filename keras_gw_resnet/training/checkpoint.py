"""Checkpoints at the end of every epoch, whole or not at all."""

import json
import math
import re
from pathlib import Path

import keras

from keras_gw_resnet.errors import MALFORMED, InputError, UnreadableError, first_line
from keras_gw_resnet.files import written_aside
from keras_gw_resnet.inputs import read_json
from keras_gw_resnet.models.weights import load_archive
from keras_gw_resnet.training.distribution import undistributed
from keras_gw_resnet.training.validation import best_row


class EpochCheckpoint(keras.callbacks.Callback):
    """Save model, optimizer and history after every epoch; keep the last one.

    The history is written first, the model last: an epoch counts as done once its model file stands.

    Args:
        folder: Where `epoch-0001.keras` and `epoch-0001.json` go; None in a process that does not write.
        history: List of dictionaries, one a finished epoch; continued in place.
        patience: Epochs without a better one after which the run stops; 0: never.
    """

    def __init__(self, folder: Path | None, history: list[dict], patience: int = 0) -> None:
        super().__init__()
        self.folder = None if folder is None else Path(folder)
        self.history, self.patience = history, patience

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Write the checkpoint of the epoch and remove the one before; keep that one when the loss has diverged."""
        if not math.isfinite((logs or {}).get("loss", math.nan)):
            return
        self.history.append({"epoch": epoch + 1, **{name: float(value) for name, value in (logs or {}).items()}})
        self.model.stop_training = self.model.stop_training or out_of_patience(self.history, self.patience)
        if self.folder is None:
            return
        state = {
            "history": self.history,
            "seeds": {name: generator.state.numpy().tolist() for name, generator in _seed_generators(self.model)},
        }
        stem = self.folder / f"epoch-{epoch + 1:04d}"
        with written_aside(stem.with_suffix(".json")) as aside:
            aside.write_text(json.dumps(state, indent=1))
        with written_aside(stem.with_suffix(".keras")) as aside, undistributed():
            self.model.save(aside)
        for old in self.folder.glob("epoch-*"):
            if old.stem != stem.name:
                old.unlink()


def out_of_patience(history: list[dict], patience: int) -> bool:
    """Say whether so many epochs have passed since the best one; 0: never."""
    return bool(patience and history) and history[-1]["epoch"] - best_row(history)["epoch"] >= patience


def _seed_generators(model):
    """Yield the random states of dropout layers by layer name; a .keras file does not hold them."""
    for layer in model.layers:
        generator = getattr(layer, "seed_generator", None)
        if generator is not None:
            yield layer.name, generator


def last_checkpoint(folder: Path) -> tuple[int, Path | None]:
    """Return (epochs done, path of the model) of the last whole checkpoint, or (0, None)."""
    done = 0, None
    for path in sorted(Path(folder).glob("epoch-*.keras")):
        if found := re.fullmatch(r"epoch-(\d{1,9})", path.stem):
            done = int(found.group(1)), path
    return done


def load_checkpoint(path: Path) -> tuple[keras.Model, list[dict]]:
    """Load the model of a checkpoint with its optimizer and random states.

    Returns:
        Tuple (compiled keras.Model, history as a list of dictionaries).

    Raises:
        InputError: The checkpoint is damaged.
    """
    damaged = f"{path}: is a damaged checkpoint; start afresh with --overwrite"
    try:
        state = read_json(path.with_suffix(".json"), "the state of a training")
        history, done = state["history"], int(path.stem.removeprefix("epoch-"))
        if [int(row["epoch"]) for row in history] != list(range(1, done + 1)) or not all(map(_is_row, history)):
            raise InputError(f"{damaged} (its history is not of {done} epochs)")
        model = load_archive(path, compile=True)
        for name, generator in _seed_generators(model):
            generator.state.assign(state["seeds"][name])
        return model, history
    except UnreadableError:
        raise
    except MALFORMED as error:
        raise InputError(f"{damaged} ({first_line(error)})") from error


def _is_row(row):
    return all(isinstance(value, int | float) for value in row.values())
