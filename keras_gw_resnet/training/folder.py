"""The folder of a training run: whose it is, and whether a run may go on in it."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

from keras_gw_resnet.errors import InputError, UnreadableError
from keras_gw_resnet.files import written_aside
from keras_gw_resnet.inputs import read_json
from keras_gw_resnet.owners import LOCK, PARTIAL, owned

if TYPE_CHECKING:
    from keras_gw_resnet.training.config import TrainingConfig

RECORD, CHECKPOINTS, OWNER = "config.json", "checkpoints", "run.txt"


def check_folder(config: TrainingConfig, out: Path, overwrite: bool = False) -> None:
    """Check that a run may be written to the folder: it is new, or that of the same run, interrupted.

    Args:
        config: TrainingConfig.
        out: Folder.
        overwrite: Accept a folder that holds another run.

    Raises:
        InputError: The folder holds a finished run, a run of another configuration, or something else.
    """
    out, record = Path(out), Path(out) / RECORD
    if out.is_file():
        raise InputError(f"{out}: is a file; --out takes a folder")
    if overwrite or not out.exists() or not any(out.iterdir()):
        return
    if not record.exists() and not all(_left_at_the_start(entry) for entry in out.iterdir()):
        raise InputError(f"{out}: exists and is not empty; choose another --out or add --overwrite")
    if is_finished(out):
        raise InputError(f"{out}: holds a finished run; choose another --out or add --overwrite")
    if not record.exists():
        return
    if differences := config.differences(_recorded(record)):
        raise InputError(
            f"{out}: holds an interrupted run of another configuration ({'; '.join(differences)}); "
            "choose another --out or add --overwrite"
        )


def _recorded(record):
    """Return the configuration that a run left in its folder."""
    damaged = f"{record}: is damaged; choose another --out or add --overwrite"
    try:
        recorded = read_json(record, "the configuration of a run")
    except UnreadableError:
        raise
    except InputError as error:
        raise InputError(damaged) from error
    if not isinstance(recorded, dict):
        raise InputError(damaged)
    return recorded


def check_backend(out: Path, overwrite: bool = False) -> None:
    """Raise InputError when the folder holds a run that another backend began: its rest would be another run's."""
    from keras.config import backend

    record = Path(out) / RECORD
    if overwrite or not record.exists():
        return
    begun = _recorded(record).get("backend", backend())
    if begun != backend():
        raise InputError(
            f"{out}: holds an interrupted run of another configuration (backend: {begun} -> {backend()}); go on with "
            f"--backend {begun}, choose another --out or add --overwrite"
        )


def check_logs(log_dir: Path | str, out: Path) -> None:
    """Raise InputError where a run's logs would go among those of another run.

    Args:
        log_dir: Folder for the logs; `note_logs` writes into it whose they are.
        out: Folder of the run.
    """
    log_dir, out, owner = Path(log_dir), Path(out).resolve(), Path(log_dir) / OWNER
    if log_dir.is_file():
        raise InputError(f"{log_dir}: is a file; --log-dir takes a folder")
    if log_dir.resolve().is_relative_to(out) or not any(
        any(log_dir.glob(f"{part}events.out.tfevents.*")) for part in ("", "train/", "validation/")
    ):
        return
    goes_on = (out / RECORD).exists()
    whose = owner.read_text().strip()[:300] if owner.is_file() else None
    if whose != str(out) and (whose or not goes_on):
        raise InputError(
            f"{log_dir}: holds the logs of {f'the run in {whose}' if whose else 'another run'}; choose another --log-dir"
        )


@contextlib.contextmanager
def owned_folders(out: Path, log_dir: Path) -> Generator[None]:
    """Let this process alone write to the folder of a run, and to that of its logs, while the block runs."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(owned(out, "choose another --out"))
        if not log_dir.resolve().is_relative_to(out.resolve()):
            stack.enter_context(owned(log_dir, "choose another --log-dir"))
            check_logs(log_dir, out)
        yield


def note_logs(log_dir: Path | str, out: Path, afresh: bool) -> None:
    """Note in a folder of logs outside the run's own whose they are; remove what an earlier run to `out` left there."""
    log_dir, out = Path(log_dir), Path(out).resolve()
    if log_dir.resolve().is_relative_to(out):
        return
    if afresh:
        for old in log_dir.glob("*/events.out.tfevents.*"):
            old.unlink()
    (log_dir / OWNER).write_text(f"{out}\n")


def _left_at_the_start(entry):
    """Say whether a run that was killed before it began may have left this."""
    return entry.name == LOCK or entry.name.startswith(PARTIAL) or (entry.is_dir() and not any(entry.iterdir()))


def is_finished(out: Path) -> bool:
    """Say whether a folder holds a finished run: its network, and no checkpoint from which it could be made again."""
    return (out / "model.keras").exists() and not any((out / CHECKPOINTS).glob("epoch-*.keras"))


def remove_checkpoints(out: Path) -> None:
    """Remove the checkpoints of a run that has saved all else, first from sight, and what earlier kills left."""
    aside = out / f"{PARTIAL}{CHECKPOINTS}"
    shutil.rmtree(aside, ignore_errors=True)
    (out / CHECKPOINTS).rename(aside)
    for left in out.glob(f"{PARTIAL}*"):
        shutil.rmtree(left, ignore_errors=True)


def claim_folder(config: TrainingConfig, out: Path, overwrite: bool) -> None:
    """Record configuration and backend in the folder of a run; with `overwrite`, remove what an earlier run left."""
    from keras.config import backend

    if overwrite:
        for old in [*out.glob(f"{CHECKPOINTS}/*"), *out.glob("logs/**/events.out.tfevents.*"), out / "model.keras"]:
            old.unlink(missing_ok=True)
    with written_aside(out / RECORD) as aside:
        aside.write_text(json.dumps({**config.to_dict(), "backend": backend()}, indent=2) + "\n")
