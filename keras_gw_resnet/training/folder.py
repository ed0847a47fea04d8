"""The folder of a training run: whose it is, and whether a run may go on in it."""

import json
from pathlib import Path

from keras_gw_resnet.errors import InputError
from keras_gw_resnet.files import written_aside

RECORD = "config.json"


def check_folder(config, out, overwrite=False):
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
    if not record.exists():
        raise InputError(f"{out}: exists and is not empty; choose another --out or add --overwrite")
    if (out / "model.keras").exists():
        raise InputError(f"{out}: holds a finished run; choose another --out or add --overwrite")
    try:
        differences = config.differences(dict(json.loads(record.read_text())))
    except (ValueError, TypeError) as error:
        raise InputError(f"{record}: is damaged; choose another --out or add --overwrite") from error
    if differences:
        raise InputError(
            f"{out}: holds an interrupted run of another configuration ({'; '.join(differences)}); "
            "choose another --out or add --overwrite"
        )


def claim_folder(config, out, overwrite):
    """Record the configuration in the folder of a run; with `overwrite`, remove what an earlier run left."""
    if overwrite:
        for old in [*out.glob("checkpoints/*"), *out.glob("logs/**/events.out.tfevents.*"), out / "model.keras"]:
            old.unlink(missing_ok=True)
    with written_aside(out / RECORD) as aside:
        aside.write_text(json.dumps(config.to_dict(), indent=2) + "\n")
