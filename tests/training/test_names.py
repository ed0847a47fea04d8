"""One configuration, whichever way its names are written: in rooms, or as they were before."""

import json
from dataclasses import fields

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_gw_resnet import InputError
from keras_gw_resnet.commands.train_arguments import RECIPES, old_names, parse_training
from keras_gw_resnet.datasets.negatives import TABLE, Negatives
from keras_gw_resnet.models.weights import saved_models_folder
from keras_gw_resnet.training.config import TrainingConfig
from keras_gw_resnet.training.folder import check_folder
from keras_gw_resnet.training.names import OLD_NAMES, ROOMS, fields_of, in_rooms, recorded
from keras_gw_resnet.zoo import load_card
from tests.conftest import assert_refused, run_command, run_commands, tiny_training

GIVEN = ["--model", "resnet18", "--data", "nowhere", "--out", "-"]
OLD = "--snr-range 5 12 --noise both --psd A B --statistic-shortcut 0.5 --options.width 16 --devices 2 --validation-noise 20000"
NEW = (
    "--signals.snr_range 5 12 --data.noise both --data.psd A B --ranking.statistic 0.5 --width 16 --devices.number 2 "
    "--metric.noise-windows 20000"
)


def flat(config):
    """Return a configuration as a record held it before it had rooms."""
    then = {new: old for old, new in OLD_NAMES.items()}
    own = config.to_dict()
    parts = {f"{room}.{name}": value for room in ROOMS for name, value in own.pop(room).items()}
    rooms = {then[name]: value for name, value in parts.items() if name in then}
    return {**own, **rooms}


def test_the_table_names_no_field_twice():
    now = {f"{room}.{f.name}" for room in ROOMS for f in fields(TrainingConfig.__dataclass_fields__[room].type)}
    assert set(OLD_NAMES.values()) <= now
    assert len(set(OLD_NAMES.values())) == len(OLD_NAMES)


def test_old_and_new_flags_say_the_same():
    old, new = (parse_training([*GIVEN, *line.split()])[0] for line in (OLD, NEW))
    assert old == new
    assert new.signals.snr_range == (5.0, 12.0) and new.data.psd == ("A", "B") and new.devices.number == 2
    assert set(old_names(OLD.split())) == {
        *("snr_range", "noise", "psd", "statistic_shortcut", "devices", "validation_noise"),
    }
    assert old_names([*GIVEN, *NEW.split(), "--batch-size", "8", "--options.blocks", "3"]) == {}
    times, long = (parse_training([*GIVEN, f, "1126259462.4", "x.txt"])[0] for f in ("--leave-out", "--data.leave_out"))
    assert times == long and times.data.leave_out == ("1126259462.4", "x.txt")
    assert parse_training([*GIVEN, "--whitening.low-frequency", "30"])[0].data.whitening.low_frequency == 30


@settings(max_examples=40, deadline=None)
@given(
    epochs=st.integers(1, 50),
    width=st.integers(1, 64),
    rate=st.floats(1e-5, 1.0),
    share=st.floats(0.0, 0.5),
    low=st.floats(1.0, 20.0),
    detectors=st.sampled_from([None, ("H1",), ("H1", "L1", "V1")]),
)
def test_records_of_either_form_are_the_same_run(epochs, width, rate, share, low, detectors):
    values = {
        "epochs": epochs,
        "model": "resnet18",
        "data": "d",
        "options": {"width": width, "kernel_size": [7, 3, 3, 3]},
    }
    values |= {"learning_rate": rate, "glitch_share": share, "snr_range": (low, 2 * low), "detectors": detectors}
    config = TrainingConfig.of(**values)
    for record in (flat(config), config.to_dict(), dict(fields_of(config.to_dict()))):
        read = json.loads(json.dumps(record))
        assert config.differences(read) == []
        if "data.whitening.sample_rate" not in read:
            assert TrainingConfig.of(**read) == config
    changed = config.changed(snr_range=(low, 3 * low))
    assert changed.differences(flat(config)) == [f"signals.snr_range: {[low, 2 * low]} -> {[low, 3 * low]}"]


def test_a_run_begun_before_goes_on(tmp_path):
    config = TrainingConfig.of(model="resnet18", data="d", detectors=("H1", "L1"), hard_share=0.3)
    then = flat(config)
    del then["statistic_coherent"]  # there was none when this was written
    (tmp_path / "config.json").write_text(json.dumps({**then, "backend": "tensorflow"}))
    check_folder(config, tmp_path)
    with pytest.raises(InputError, match=r"optimisation\.batch_size: 128 -> 64"):
        check_folder(config.changed(batch_size=64), tmp_path)
    again, _ = parse_training(["--config", str(tmp_path / "config.json"), "--out", "-", "--window-samples", "2048"])
    assert again == config.changed(window_samples=2048)


def test_recipes_and_cards_are_read():
    for path in saved_models_folder().glob("*/recipe.yaml"):
        recipe = yaml.safe_load(path.read_text())
        assert set(recipe) <= {"epochs", "seed", *ROOMS}, path
        TrainingConfig.of(**recipe, **{"data.path": "nowhere"})
    for path in RECIPES.glob("*.yaml"):
        config, _ = parse_training(["--recipe", path.stem, "--data", "nowhere", "--out", "-"])
        said, own = (dict(fields_of(part)) for part in (yaml.safe_load(path.read_text()), config.to_dict()))
        assert {name: own[name] for name in said} == said, path
    card = load_card("residual-cnn-w16")
    config = TrainingConfig.of(**card["training"]["config"])
    assert config.negatives.hard_windows == recorded(card)["negatives.hard_windows"] == 15000
    assert config.signals.merger_range == (0.65, 0.79)


def test_a_part_that_there_is_not_is_named(tmp_path):
    (tmp_path / "list.yaml").write_text("- 1\n")
    (tmp_path / "bad.yaml").write_text("a: [1\n")
    (tmp_path / "unknown.yaml").write_text("signals: {loudness: 3}\n")
    cases = [
        (("--config", tmp_path / "list.yaml"), "holds no options"),
        (("--config", tmp_path / "bad.yaml"), "is no YAML"),
        (("--config", tmp_path / "unknown.yaml"), "loudness"),
        (("--signals.loudness", 3), "signals.loudness"),
        (("--snr-range", 12, 5), "--snr-range is 12 5"),
        (("--signals.snr_range", 12, 5), "--signals.snr_range is 12 5"),
        (("--snr-range", 12, 5), "(--snr-range is --signals.snr_range now)"),
    ]
    for result, (_, mentioned) in zip(
        run_commands([("train", *GIVEN, *options) for options, _ in cases]), cases, strict=True
    ):
        assert_refused(result, mentioned)
    with pytest.raises(InputError, match="signals is 3; expected options under it"):
        TrainingConfig.of(model="resnet18", data="d", signals=3)
    with pytest.raises(InputError, match="loudness: no such part"):
        TrainingConfig.of(model="resnet18", data="d", loudness=3)


TOO_LATE = [
    ("--negatives.hard_share 0.3 --steps-per-epoch 5", "--steps-per-epoch 5"),
    ("--signals.snr_start 10 20 --signals.curriculum_epochs 30", "--signals.curriculum_epochs 30"),
    ("--signals.merger_range 0.9 0.2", "--signals.merger_range is 0.9 0.2"),
    ("--signals.merger_range nan 0.8", "--signals.merger_range"),
    ("--signals.snr_power 5000", "--signals.snr_power is 5000"),
    ("--signals.snr_power nan", "--signals.snr_power"),
    ("--signals.merger_tolerance 1e-9", "at least a sample"),
    ("--signals.share 0", "--signals.share is 0"),
    ("--metric.snr 2000", "--metric.snr is 2000"),
    ("--metric.false_alarm_probability 1e-9", "--metric.noise_windows"),
    ("--data.whitening.low_frequency 2000", "low_frequency is 2000"),
    ("--data.whitening.filter_seconds 0", "a filter of 0 s"),
    ("--data.whitening.psd_seconds 1", "psd_seconds is 1"),
    ("--data.whitening.gate 6", "gate is 6"),
    ("--data.whitening.sample_rate -5", "-5 Hz"),
    ("--negatives.hard_windows -1", "--negatives.hard_windows is -1"),
    ("--network.growth blockwise --network.finetune_epochs 20", "--network.finetune_epochs 20"),
]


def test_contradictions_are_told_before_any_data_are_read():
    """Each of these was found out in the middle of a training once, or when all the data had been read."""
    commands = [("train", *GIVEN, *options.split()) for options, _ in TOO_LATE]
    for result, (_, mentioned) in zip(run_commands(commands), TOO_LATE, strict=True):
        assert_refused(result, mentioned)


@pytest.mark.slow
def test_new_names_are_said_once_and_when_it_begins(small_data, tmp_path):
    result = run_command("train.py", *tiny_training(small_data, tmp_path / "run", **{"--snr-range": "[5, 12]"}))
    assert result.returncode == 0, result.stderr
    said = [line for line in result.stderr.splitlines() if "--snr-range is --signals.snr_range now" in line]
    assert len(said) == 1


def test_a_kind_of_negatives_has_a_line_in_the_table_and_a_share():
    assert {kind.share for kind in TABLE.values()} == {f.name for f in fields(Negatives) if f.name.endswith("_share")}
    assert all(kind.name == name for name, kind in TABLE.items())
    assert in_rooms({"loud_share": 0.1, "negatives": {"glitch_share": 0.2}}) == {
        "negatives": {"loud_share": 0.1, "glitch_share": 0.2}
    }
