import json

import keras
import pytest

from keras_gw_resnet import InputError
from keras_gw_resnet.training.config import TrainingConfig
from keras_gw_resnet.training.folder import (
    check_backend,
    check_folder,
    check_logs,
    claim_folder,
    note_logs,
    owned_folders,
)

CONFIG = TrainingConfig.of(model="resnet18", data="d")
OTHER = TrainingConfig.of(model="resnet18", data="d", batch_size=64)


def test_new_and_interrupted_folders_are_accepted(tmp_path):
    check_folder(CONFIG, tmp_path / "new")
    check_folder(CONFIG, tmp_path)
    claim_folder(CONFIG, tmp_path / "run", False)
    check_folder(CONFIG, tmp_path / "run")


def test_what_is_not_this_run_is_refused(tmp_path):
    run = tmp_path / "run"
    claim_folder(CONFIG, run, False)
    with pytest.raises(InputError, match="batch_size: 128 -> 64"):
        check_folder(OTHER, run)
    (run / "model.keras").touch()
    with pytest.raises(InputError, match="finished run"):
        check_folder(CONFIG, run)
    check_folder(OTHER, run, overwrite=True)
    claim_folder(OTHER, run, True)
    assert not (run / "model.keras").exists()
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="not empty"):
        check_folder(CONFIG, tmp_path)
    with pytest.raises(InputError, match="is a file"):
        check_folder(CONFIG, tmp_path / "file")


def test_a_run_goes_on_with_its_backend(tmp_path):
    claim_folder(CONFIG, tmp_path, False)
    check_backend(tmp_path)
    record = json.loads((tmp_path / "config.json").read_text())
    assert record["backend"] == keras.config.backend()
    (tmp_path / "config.json").write_text(json.dumps({**record, "backend": "other"}))
    with pytest.raises(InputError, match="--backend other"):
        check_backend(tmp_path)
    check_backend(tmp_path, overwrite=True)
    check_backend(tmp_path / "new")


def test_logs_of_another_run_are_not_mixed_in(tmp_path):
    logs, first, second = tmp_path / "logs", tmp_path / "first", tmp_path / "second"
    (logs / "train").mkdir(parents=True)
    check_logs(logs, first)
    note_logs(logs, first, True)
    event = logs / "train" / "events.out.tfevents.1"
    event.touch()
    check_logs(logs, first)  # goes on
    note_logs(logs, first, False)
    assert event.exists()
    with pytest.raises(InputError, match=f"holds the logs of the run in {first}"):
        check_logs(logs, second)
    note_logs(logs, first, True)  # the same run, afresh
    assert not event.exists()
    foreign = first / "logs" / "train"
    foreign.mkdir(parents=True)
    (foreign / "events.out.tfevents.1").touch()
    with pytest.raises(InputError, match="holds the logs of another run"):
        check_logs(first / "logs", second)
    check_logs(first / "logs", first)


def test_two_runs_do_not_share_a_folder_of_logs(tmp_path):
    with owned_folders(tmp_path / "one", tmp_path / "logs"):
        with (
            pytest.raises(InputError, match=r"logs: is being written by process .* choose another --log-dir"),
            owned_folders(tmp_path / "two", tmp_path / "logs"),
        ):
            pass
        with owned_folders(tmp_path / "two", tmp_path / "two" / "logs"):
            pass
    assert list(tmp_path.iterdir()) == []
