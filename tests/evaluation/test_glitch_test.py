import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from keras_gw_resnet import InputError
from keras_gw_resnet.evaluation.glitch_test import GlitchScores, score_glitches, thresholds_of, usable_glitches
from keras_gw_resnet.evaluation.leakage import glitches_of_other_banks, seen_glitches
from keras_gw_resnet.search.background import CONSISTENCY, Background, write_background
from keras_gw_resnet.simulation.glitch_bank import GlitchBank, load_glitches, save_glitches
from keras_gw_resnet.strain.conditioning import Whitening
from tests.conftest import assert_refused, run_command, run_commands, write_mlgwsc


def loudest_sample_network():
    """Ranks by the largest whitened sample of a detector."""
    return SimpleNamespace(
        name="loudest",
        sample_rate=2048,
        detectors=("H1", "L1"),
        whitening=Whitening(),
        scanner=SimpleNamespace(scan=lambda strain: strain),
        cluster=lambda scan, start, threshold: _Events(np.abs(scan).max(axis=0)),
    )


class _Events:
    def __init__(self, stat):
        self.stat = stat

    def __len__(self):
        return len(self.stat)


def test_glitches_above_thresholds_are_counted_by_kind_and_snr():
    strain = np.zeros((5, 64), np.float32)
    strain[:, 32] = (30, 30, 12, 12, 30)
    bank = GlitchBank(
        strain,
        detector=np.array(["H1", "L1", "H1", "L1", "V1"]),
        label=np.array(["Loud", "Loud", "Faint", "Faint", "Other"]),
        snr=strain[:, 32].astype(float),
        gps=np.full(5, np.nan),
        reconstruction=np.full(5, "clean"),
        source=np.full(5, "a test"),
        sample_rate=2048,
    )
    scores = score_glitches(loudest_sample_network(), bank, repeats=2)
    assert len(scores.stat) == 8 and set(scores.detector) == {"H1", "L1"}
    rows = {row["group"]: row for row in scores.shares({"1000": 6.0, "100": 20.0})}
    assert set(rows) == {"all", "Faint", "Loud", "SNR 10 to 20", "SNR 20 to 50"}
    assert (rows["all"]["1000"], rows["all"]["100"]) == (1.0, 0.5)
    assert (rows["Faint"]["100"], rows["Loud"]["100"], rows["SNR 10 to 20"]["glitches"]) == (0.0, 1.0, 2)
    np.testing.assert_allclose(scores.stat, scores.snr, atol=5)


def test_whole_cuts_replace_the_noise():
    strain = np.full((1, 4096), 3.0, np.float32)
    columns = {name: np.array([text]) for name, text in (("detector", "H1"), ("label", "x"), ("source", "x"))}
    bank = GlitchBank(
        strain,
        **columns,
        snr=np.array([9.0]),
        gps=np.array([0.0]),
        reconstruction=np.array(["whole"]),
        sample_rate=2048,
    )
    seen = []
    network = loudest_sample_network()
    network.scanner = SimpleNamespace(scan=lambda strain: seen.append(strain) or strain)
    scores = score_glitches(network, bank)
    assert np.count_nonzero(seen[0][:, 0] == 3.0) == 4096
    assert scores.snr.tolist() == [9.0]
    assert isinstance(scores, GlitchScores) and scores.stat[0] == pytest.approx(np.abs(seen[0]).max())


def card_with(*sets, sha256="0" * 64):
    """A card that says of each set the hours of background, the thresholds by rate, and what else."""
    made = {}
    for name, hours, thresholds, more in sets:
        rows = [{"rate": rate, "threshold": value} for rate, value in thresholds.items()]
        made[name] = {"hours": {"background": hours}, "sensitivity": rows, **more}
    return {"name": "it", "sha256": sha256, "detectors": ["H1", "L1"], "metrics": {"sets": made}}


def test_thresholds_are_those_of_the_card_or_of_a_background(tmp_path):
    sets = (
        ("set1", 8.0, {1000.0: 5.0, 100.0: 7.0, 90.0: 8.0}, {}),
        ("set2", 80.0, {1000.0: 6.0, 100.0: None, 9.0: 9.0}, {}),
        ("set3 in measured noise", 800.0, {1000.0: 30.0}, {"noise": {}}),
    )
    network = SimpleNamespace(name="it", card=card_with(*sets), precision="float32")
    found, source = thresholds_of(network)
    assert found == {"1000": 6.0} and "set2, 80.0 h" in source
    # A month of background with events of 1, 2, ... 2000.
    slid = Background(np.arange(1.0, 2001.0), np.zeros((2000, 2)), 30 * 86400.0)
    about = {"model_sha256": "0" * 64, "threshold": -4.0, "precision": "float32"}
    write_background(slid, tmp_path / "slid.hdf", ("H1", "L1"), about)
    found, source = thresholds_of(network, tmp_path / "slid.hdf")
    assert found == {"1000": 1000.0, "100": 1900.0, "10": 1990.0} and "slid.hdf (720.0 h)" in source
    # A search leaves more out for the thresholds that it writes beside: they are the same in both commands.
    written = {"threshold_rates": [1000.0, 100.0, 10.0, 1.0], "thresholds": [990.5, 1800.5, 1990.0, 1995.0]}
    written |= {"threshold_is_limit": [False, False, True, True], "threshold_background_seconds": 700 * 3600.0}
    write_background(slid, tmp_path / "searched.hdf", ("H1", "L1"), about | written)
    found, source = thresholds_of(network, tmp_path / "searched.hdf")
    assert found == {"1000": 990.5, "100": 1800.5} and "searched.hdf (700.0 h)" in source
    write_background(slid, tmp_path / "odd.hdf", ("H1", "L1"), about | written | {"thresholds": ["a", "b", "c", "d"]})
    with pytest.raises(InputError, match=r"odd\.hdf"):
        thresholds_of(network, tmp_path / "odd.hdf")
    other = SimpleNamespace(name="it", card=card_with(*sets, sha256="1" * 64), precision="float32")
    for given, background, mentioned in (
        (other, tmp_path / "slid.hdf", "of another network"),
        (SimpleNamespace(name="it", card=card_with()), None, "its card says nothing of thresholds"),
        (SimpleNamespace(name="it", card=card_with(*sets, sha256=CONSISTENCY)), None, "without --consistency"),
    ):
        with pytest.raises(InputError, match=mentioned):
            thresholds_of(given, background)
    write_background(replace(slid, seconds=60.0), tmp_path / "short.hdf", ("H1", "L1"), about)
    with pytest.raises(InputError, match=r"short.hdf: is too short for thresholds"):
        thresholds_of(network, tmp_path / "short.hdf")


def bank_of(*detectors):
    strain = np.zeros((len(detectors), 2048), np.float32)
    strain[:, 1000:1048] = np.sin(np.arange(48)) * 5
    columns = {name: np.full(len(detectors), "Blip") for name in ("label", "source")}
    return GlitchBank(
        strain,
        detector=np.array(detectors),
        **columns,
        snr=np.linalg.norm(strain, axis=1).astype(float),
        gps=np.full(len(detectors), np.nan),
        reconstruction=np.full(len(detectors), "clean"),
        sample_rate=2048,
    )


def test_glitches_that_were_trained_on_are_told():
    card = {"training": {"data": {"glitches": {"number": 18, "fingerprint": "abc"}}}}
    assert seen_glitches(card, "abc") == ["it was trained on 18 of these glitches"]
    assert seen_glitches(card, "other") == seen_glitches({}, "abc") == []
    assert [glitches_of_other_banks(*own) for own in ((card, "abc"), (card, "other"), ({}, "abc"))] == [0, 18, 0]


def test_glitches_of_other_detectors_are_left_out(tmp_path):
    save_glitches(bank_of("H1", "V1"), tmp_path / "bank.hdf")
    bank = load_glitches(tmp_path / "bank.hdf")
    assert usable_glitches(bank, "bank.hdf", 2048, ("H1", "L1")).detector.tolist() == ["H1"]


def test_the_glitch_test_of_a_network(small_run, tmp_path):
    """Table, picture, JSON and card; and what cannot be tested."""
    own, bank, out = tmp_path / "net", tmp_path / "bank.hdf", tmp_path / "out"
    shutil.copytree(small_run, own)
    save_glitches(bank_of("H1", "L1", "L1"), bank)
    card = json.loads((own / "card.json").read_text())
    card["metrics"]["sets"] = card_with(("set1", 8.0, {1000.0: -50.0, 100.0: 1e6}, {}))["metrics"]["sets"]
    (own / "card.json").write_text(json.dumps(card))
    result = run_command("evaluate.py", own, "--glitches", bank, "--output", out, "--card")
    assert result.returncode == 0, result.stderr
    assert "3 glitches, each 4 times" in result.stdout and "the card: set1, 8.0 h" in result.stdout
    assert (out / "glitches.png").stat().st_size > 10_000
    (one,) = json.loads((out / "glitches.json").read_text())["networks"]
    assert one["shares"][0] == {"group": "all", "glitches": 3, "1000": 1.0, "100": 0.0}
    assert len(one["scores"]["stat"]) == one["scans"] == 12
    noted = json.loads((own / "card.json").read_text())["metrics"]["glitches"]["bank"]
    assert noted["shares"] == one["shares"] and noted["thresholds"] == {"1000": -50.0, "100": 1e6}
    save_glitches(replace(bank_of("H1"), sample_rate=4096), tmp_path / "fast.hdf")
    save_glitches(bank_of("V1"), tmp_path / "virgo.hdf")
    strain = write_mlgwsc(tmp_path / "strain.hdf", ["H1", "L1"])
    refused = (
        (("--glitches", tmp_path / "fast.hdf"), "sampled at 4096 Hz; expected 2048 Hz"),
        (("--glitches", tmp_path / "virgo.hdf"), "holds glitches of V1 and none of H1, L1"),
        (("--glitches", strain), "is no glitch bank"),
        (("--glitches", bank, "--data", tmp_path), "--glitches is of a set that is to be simulated"),
        (("--glitches", bank, "--lesion"), "--lesion goes with --data"),
        (("--glitches", bank, "--glitch-rate", "H1=1"), "--glitch-rate is of a set"),
        (("--glitches", bank, "--consistency", "--card"), "leave out --consistency"),
        (("--glitches", bank, "--consistency"), "has no matched filter of its own"),
        (("--glitches", bank, "--thresholds", strain), "cannot be read as a background"),
        (("--set", "set1", "--thresholds", strain), "--thresholds is of one network"),
        (("--set", "set1", "--glitches", tmp_path / "fast.hdf"), "sampled at 4096 Hz; expected 2048 Hz"),
        (("--set", "set1", "--noise", strain, "--glitches", bank), "--noise has glitches of its own"),
        (("--set", "set1", "--noise", strain, "--duration", "10m"), "too short for a set of 600 s"),
    )
    commands = [("evaluate", own, *options, "--output", tmp_path / "x") for options, _ in refused]
    for result, (_, mentioned) in zip(run_commands(commands), refused, strict=True):
        assert_refused(result, mentioned)
    assert not (tmp_path / "x").exists()
