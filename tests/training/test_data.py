import shutil

import numpy as np
import pytest

from keras_gw_resnet import InputError
from keras_gw_resnet.strain.writers import mlgwsc1_file
from keras_gw_resnet.training.config import TrainingConfig
from keras_gw_resnet.training.data import load_batches


def config(data, **options):
    options = {"detectors": ("H1", "L1"), "window_samples": 2048, **options}
    few = {"validation_noise": 20, "validation_signals": 20, "false_alarm_probability": 0.5}
    return TrainingConfig.of(model="resnet18", data=str(data), batch_size=8, **few, **options)


def test_validation_shares_nothing_with_training(small_data, small_bank):
    batches = load_batches(config(small_data))
    assert len(batches.held_out_bank) == 2
    training, validation = batches.training.signals.bank, batches.validation.signals.bank
    assert len(training) + len(validation) == len(small_bank)
    assert not {w.tobytes() for w in training.hplus} & {w.tobytes() for w in validation.hplus}
    for start, stop, origin in batches.training.noise.intervals:
        assert origin == "simulated with seed 0"
        for other_start, other_stop, _ in batches.validation.noise.intervals:
            assert stop + 3.9 < other_start or other_stop < start
    assert batches.provenance["files"] == ["noise.hdf"]
    assert batches.provenance["bank"]["fingerprint"] == small_bank.fingerprint()


def test_fresh_noise_needs_no_strain(small_data, tmp_path):
    shutil.copy(small_data / "bank.hdf", tmp_path)
    batches = load_batches(config(tmp_path, noise="gaussian", psd=("aLIGOZeroDetHighPower",)))
    strain, label = batches.training[0]
    assert strain.shape == (8, 2048, 2)
    assert np.all(np.isfinite(strain))
    assert label.sum() == 4


def test_missing_parts_are_named(small_data, tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        load_batches(config(tmp_path / "none"))
    with pytest.raises(InputError, match=r"no waveform bank there.*simulate bank"):
        load_batches(config(tmp_path))
    shutil.copy(small_data / "bank.hdf", tmp_path)
    with pytest.raises(InputError, match="no strain file"):
        load_batches(config(tmp_path))
    shutil.copy(small_data / "bank.hdf", tmp_path / "second.hdf")
    with pytest.raises(InputError, match="2 waveform banks"):
        load_batches(config(tmp_path))
    with pytest.raises(InputError, match="no strain of V1"):
        load_batches(config(small_data, detectors=("H1", "V1")))
    with pytest.raises(InputError, match=r"--data\.whitening\.gate is 2; expected 0 for no gate, or at least 10"):
        config(small_data, whitening={"gate": 2.0})


def test_what_training_noise_leaves_out_is_in_the_card(small_data, tmp_path):
    shutil.copy(small_data / "bank.hdf", tmp_path)
    with mlgwsc1_file(tmp_path / "strain.hdf", ("H1", "L1"), 2048, compress=False) as add:
        for number, detector in enumerate(("H1", "L1")):
            add(detector, 1126259442, np.random.default_rng(number).normal(size=120 * 2048) * 1e-21)
    batches = load_batches(
        config(tmp_path, leave_out=("1126259490",), recolour_share=0.5, psd=("aLIGOZeroDetHighPower",))
    )
    assert batches.provenance["left_out"] == ["GW150914"]
    assert batches.description.startswith("files noise without 1 catalogue event and ")
    for start, stop, _ in batches.provenance["gps_intervals"] + batches.provenance["held_out_gps_intervals"]:
        assert all(stop <= time - 3.9 or start >= time + 3.9 for time in (1126259462.4, 1126259490))
    # The spectrum that noise is recoloured to is the last.
    assert (
        batches.training.noise.draw(np.random.default_rng(0), 200)[1].max() == len(batches.training.noise.taps[0]) - 1
    )
    np.testing.assert_array_equal(batches.training[3][0], batches.training[3][0])
    for wrong, mentioned in (
        (
            {"noise": "gaussian", "psd": ("x",), "leave_out": ("1",)},
            r"--data\.leave_out and --data\.recolour_share are",
        ),
        ({"recolour_share": 1.5}, r"--recolour-share is 1\.5; expected a share"),
        ({"leave_out": ("none.txt",)}, "none.txt: cannot be read"),
    ):
        with pytest.raises(InputError, match=mentioned):
            load_batches(config(tmp_path, **wrong))


def test_each_detector_has_its_own_spectra(small_data, psds_folder):
    batches = load_batches(config(small_data, noise="gaussian", psd=(str(psds_folder),)))
    taps = batches.training.noise.taps
    assert [len(own) for own in taps] == [80, 80]
    assert not np.array_equal(taps[0][0], taps[1][0])
    assert len(batches.provenance["psds"]["L1"]) == 20
    strain = np.concatenate([batches.training[i][0][1::2] for i in range(40)])
    assert strain.std() == pytest.approx(0.99, abs=0.03)
