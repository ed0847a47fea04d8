from dataclasses import replace

import numpy as np
import pytest

from keras_gw_resnet import InputError
from keras_gw_resnet.datasets.batches import InjectionBatches
from keras_gw_resnet.datasets.gaussian_noise import GaussianNoise
from keras_gw_resnet.datasets.negatives import KINDS, TABLE, BankGlitch, Negatives
from keras_gw_resnet.datasets.signals import Signals
from keras_gw_resnet.simulation.glitch_bank import GlitchBank, SnrLaw, save_glitches
from keras_gw_resnet.strain.conditioning import Whitening
from keras_gw_resnet.training.checks import notes_on
from keras_gw_resnet.training.config import TrainingConfig
from keras_gw_resnet.training.data import load_batches
from tests.datasets.test_batches import WINDOW, kinds_of


def recorded(number=20, detectors=("H1", "L1"), **columns):
    """A bank of glitches of one shape that know their SNR, 10, half of them of each detector."""
    shape = np.hanning(64).astype("float32")
    strain = np.tile(10 * shape / np.linalg.norm(shape), (number, 1))
    text = {name: np.full(number, "x") for name in ("label", "source")}
    text |= {
        "detector": np.array(detectors)[np.arange(number) % len(detectors)],
        "reconstruction": np.full(number, "clean"),
    }
    known = {"snr": np.full(number, 10.0), "gps": np.full(number, np.nan), **text, **columns}
    return GlitchBank(strain, sample_rate=2048, **known)


def test_recorded_glitches_are_shown_and_stand_beside_signals(small_bank, taps):
    shares = {"glitch_bank": "g.hdf", "bank_glitch_share": 0.5, "beside_signals": 0.4, "lone_signal_share": 0.0}
    made = {"batch_size": 64, "seed": 4, "signals": Signals(snr_range=(5.0, 5.0))}
    noise = GaussianNoise(taps, ("H1", "L1"), WINDOW, Whitening())
    opened = {name: kind() for name, kind in TABLE.items()} | {"recorded glitch": BankGlitch(recorded(), ("H1", "L1"))}
    plain = InjectionBatches(small_bank, noise, negatives=Negatives(lone_signal_share=0.0), **made)
    batches = InjectionBatches(small_bank, noise, negatives=Negatives(**shares), opened=opened, **made)
    found, bare = kinds_of(batches, 20), kinds_of(plain, 20)
    added = np.sqrt(((found["strain"].astype(float) - bare["strain"]) ** 2).sum(axis=1))
    glitch, signal = found["kind"] == KINDS.index("recorded glitch"), found["kind"] == 0
    assert np.mean(glitch[~signal]) == pytest.approx(0.5, abs=0.06)
    # At the edge of a window a part of a glitch is seen.
    assert np.median(added[glitch].max(axis=1)) == pytest.approx(10, rel=0.01)
    assert np.mean((added[glitch] > 0).sum(axis=1) == 2) == pytest.approx(0.1, abs=0.05)
    assert not added[~signal & ~glitch].any()
    assert np.mean(added[signal].any(axis=1)) == pytest.approx(0.4, abs=0.06)
    assert np.all(found["label"][signal] == 1)


def test_glitches_held_out_are_not_trained_on_and_whole_cuts_replace_the_noise(small_bank, taps):
    kept, held_out = BankGlitch(recorded(gps=np.arange(20.0)), ("H1", "L1")).split(0.1)
    assert len(kept.bank) == 18 and sorted(held_out.bank.detector) == ["H1", "L1"]
    assert not set(kept.bank.gps) & set(held_out.bank.gps)
    few = recorded(gps=np.arange(20.0)).select([0, 1, 2, *range(1, 20, 2)])
    assert set(few.detector[:3]) == {"H1", "L1"}
    for number in (1, 2, 3):  # one of H1, or two: one is held out where there are two
        kept, held_out = BankGlitch(few.select(np.r_[0:number, 3:13]), ("H1", "L1"), rates={"H1": 60.0}).split(0.1)
        assert set(kept.bank.detector) == set(held_out.bank.detector) == {"H1", "L1"}
        own = [set(part.bank.gps[part.bank.detector == "H1"]) for part in (kept, held_out)]
        assert own == ([{0.0}, {0.0}] if number < 3 else [{0.0}, {2.0}])
        held_out.occur(np.random.default_rng(1), np.zeros((8, WINDOW, 2), np.float32))
    whole = BankGlitch(recorded(detectors=("L1",), reconstruction=np.full(20, "whole")), ("H1", "L1"))
    strain = np.full((4, WINDOW, 2), 7.0, np.float32)
    whole.add(None, np.random.default_rng(1), strain, None, np.arange(3), 0)
    assert np.all(strain[:, :, 0] == 7) and np.all(strain[3] == 7)
    assert np.all(strain[:3, :, 1].min(axis=1) < 5)


def test_a_glitch_bank_that_cannot_be_trained_with(tmp_path):
    with pytest.raises(InputError, match=r"bank_glitch_share is of a glitch bank; give --negatives\.glitch_bank"):
        Negatives(bank_glitch_share=0.1)
    save_glitches(recorded(detectors=("V1",)), tmp_path / "v1.hdf")
    save_glitches(replace(recorded(), sample_rate=4096), tmp_path / "fast.hdf")
    for name, message in (
        ("v1", "glitches of V1 and none of H1, L1"),
        ("fast", "sampled at 4096 Hz; expected 2048"),
    ):
        given = {"glitches": str(tmp_path / f"{name}.hdf"), "bank_glitch_share": 0.1, "detectors": ("H1", "L1")}
        config = TrainingConfig.of(model="resnet18", data="x", **given)
        with pytest.raises(InputError, match=message):
            BankGlitch.open(config)


def test_glitches_occur_at_their_rate_in_every_example_and_in_both_detectors_by_accident(small_bank, taps):
    noise = GaussianNoise(taps, ("H1", "L1"), WINDOW, Whitening())
    made = {"batch_size": 64, "seed": 5, "signals": Signals(snr_range=(5.0, 5.0))}
    rates = {"H1": 30.0, "L1": 12.0}
    opened = {name: kind() for name, kind in TABLE.items()}
    opened |= {"recorded glitch": BankGlitch(recorded(), ("H1", "L1"), rates=rates)}
    given = Negatives(lone_signal_share=0.0, glitch_bank="g.hdf", glitch_rate="H1=30,L1=12")
    assert (given.bank_glitch_share, given.beside_signals) == (0, 0)
    plain = InjectionBatches(small_bank, noise, negatives=Negatives(lone_signal_share=0.0), **made)
    batches = InjectionBatches(small_bank, noise, negatives=given, opened=opened, **made)
    found, bare = kinds_of(batches, 20), kinds_of(plain, 20)
    hit = np.any(found["strain"] != bare["strain"], axis=1)
    expected = 1 - np.exp(-np.array([30, 12]) * WINDOW / 2048 / 60)
    for rows in (found["kind"] == 0, found["kind"] != 0):
        assert hit[rows].mean(axis=0) == pytest.approx(expected, abs=0.06)
    assert np.mean(hit.all(axis=1)) == pytest.approx(np.prod(expected), abs=0.03)
    again = kinds_of(InjectionBatches(small_bank, noise, negatives=given, opened=opened, **made), 20)
    assert np.array_equal(found["strain"], again["strain"])


def test_the_snr_law_of_a_training_holds_for_recorded_and_simulated_glitches(tmp_path):
    save_glitches(recorded(detectors=("L1",)), tmp_path / "g.hdf")
    given = {"glitches": str(tmp_path / "g.hdf"), "detectors": ("H1", "L1"), "glitch_share": 0.1}
    law = {"negatives.glitch_snr_range": (20, 40), "negatives.glitch_snr_power": 2, "negatives.simulated_part": 0.5}
    config = TrainingConfig.of(model="resnet18", data="x", **given, **law)
    assert config.negatives.glitch_snr() == SnrLaw(20, 2, 40)
    strain = np.zeros((400, 8192, 2), np.float32)
    snr, _ = BankGlitch.open(config).add(None, np.random.default_rng(3), strain, None, np.arange(400), 0)
    assert snr.min() >= 20 and snr.max() <= 40
    # Density 1 / SNR**2 from 20 to 40: half of them below 80 / 3.
    assert np.median(snr) == pytest.approx(80 / 3, rel=0.05)
    lengths = np.count_nonzero(strain, axis=(1, 2))
    assert np.mean(lengths > 64) == pytest.approx(0.5, abs=0.08)


def test_a_bank_alone_shows_a_tenth_and_what_cannot_be_together_is_refused(tmp_path):
    alone = Negatives(glitch_bank="g.hdf")
    assert (alone.bank_glitch_share, alone.beside_signals) == (0.1, 0.1)
    for given, message in (
        ({"glitch_rate": "H1=1"}, "glitch_rate is of a glitch bank"),
        ({"simulated_part": 0.5}, "simulated_part is of a glitch bank"),
        ({"glitch_bank": "g", "glitch_rate": "H1=a"}, "glitch_rate is H1=a; expected rates a minute"),
        ({"glitch_bank": "g", "glitch_snr_range": (9, 5)}, "glitch SNR from 9 to 5"),
        ({"glitch_snr_range": (5, 9)}, "no glitches are shown"),
        ({"glitch_bank": "g", "glitch_snr_power": 2}, "glitch_snr_power is of a range of SNR"),
        ({"glitch_bank": "g", "simulated_part": 2}, "a share from 0 to 1"),
    ):
        with pytest.raises(InputError, match=message):
            Negatives(**given)
    save_glitches(recorded(reconstruction=np.full(20, "whole")), tmp_path / "whole.hdf")
    save_glitches(recorded(detectors=("L1",)), tmp_path / "l1.hdf")
    for name, given, message in (
        ("whole", {"beside_signals": 0.1}, "whole.hdf: has cuts with their noise"),
        ("l1", {"negatives.glitch_rate": "H1=1"}, "l1.hdf: has no glitches of H1"),
        ("l1", {"negatives.glitch_rate": "V1=1"}, "glitch_rate names V1; the training has H1, L1"),
    ):
        config = TrainingConfig.of(
            model="resnet18", data="x", glitches=str(tmp_path / f"{name}.hdf"), detectors=("H1", "L1"), **given
        )
        with pytest.raises(InputError, match=message):
            BankGlitch.open(config)


def test_a_training_says_how_many_glitches_it_shows_and_of_which_detectors(small_data, tmp_path):
    save_glitches(recorded(detectors=("L1",)), tmp_path / "l1.hdf")
    given = {"detectors": ("H1", "L1"), "window_samples": 2048, "false_alarm_probability": 0.5}
    given |= {"validation_noise": 20, "validation_signals": 20, "glitches": str(tmp_path / "l1.hdf")}
    config = TrainingConfig.of(model="resnet18", data=str(small_data), batch_size=8, **given)
    batches = load_batches(config)
    assert ", 18 glitches (0 of H1, 18 of L1) and 2" in batches.description
    (note,) = [note for note in notes_on(config, batches) if "l1.hdf" in note]
    assert note.endswith("l1.hdf has no glitches of H1; none are shown there")
