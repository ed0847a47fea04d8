import functools
import json
import shutil

import numpy as np
import pytest

from keras_gw_resnet.evaluation import mass_test
from keras_gw_resnet.evaluation.mass_test import CLASSES, MassTest, mass_table, measure_masses, write_mass_tests
from keras_gw_resnet.search.detector import Detector
from keras_gw_resnet.simulation.populations import chirp_mass
from keras_gw_resnet.simulation.waveforms import make_bank
from tests.conftest import assert_refused, run_command


def test_masses_of_a_class_have_its_chirp_mass():
    for low, high in CLASSES:
        ends = np.array([low, high]) * 2**0.2
        np.testing.assert_allclose(chirp_mass(ends, ends), (low, high))
        assert low < chirp_mass(*ends[::-1]) < high


def test_shares_are_of_those_above_the_threshold_and_against_heavy_binaries(tmp_path):
    stat = {key: np.array([1.0, 3.0, -np.inf, 9.0]) for key in CLASSES}
    stat[CLASSES[2]] = np.full(4, 9.0)
    test = MassTest("net", stat, {"1000": 2.0, "100": 8.0}, "a test", (8.0, 10.0), "set3")
    assert [row["1000"] for row in test.rows] == [0.5, 0.5, 1.0, 0.5] and test.rows[0]["100"] == 0.25
    rows, header = mass_table(test)
    assert rows[0] == ["5 to 12", 4, "0.50 +- 0.25", "0.25 +- 0.22", "0.50", "0.25"] and len(header) == 6
    write_mass_tests([test], tmp_path / "masses")
    assert json.loads((tmp_path / "masses" / "masses.json").read_text()) == [{"model": "net", **test.to_dict()}]


@pytest.fixture
def known(small_run, tmp_path):
    """A network whose card knows its thresholds, and that takes whatever is loudest for the signal."""
    shutil.copytree(small_run, tmp_path / "net")
    card = json.loads((tmp_path / "net" / "card.json").read_text())
    rows = [{"rate": 1000.0, "threshold": -50.0}, {"rate": 100.0, "threshold": 1e6}]
    card["metrics"]["sets"] = {"set1": {"hours": {"background": 8.0}, "sensitivity": rows}}
    card["timing"]["tolerance_seconds"] = 100.0
    (tmp_path / "net" / "card.json").write_text(json.dumps(card))
    return tmp_path / "net"


def test_signals_of_every_class_are_scanned(known, monkeypatch):
    monkeypatch.setattr(mass_test, "WAVEFORMS", 2)
    monkeypatch.setattr(mass_test, "WAVEFORM_SECONDS", 2.0)
    monkeypatch.setattr(mass_test, "make_bank", functools.partial(make_bank, processes=1))
    test = measure_masses(Detector.load(known), signals=3)
    assert [len(stat) for stat in test.stat.values()] == [3] * 4
    assert all(row["1000"] == 1 and row["100"] == 0 for row in test.rows)


def test_what_cannot_be_asked(known):
    assert_refused(run_command("evaluate.py", known, "--by-mass", "10", "8"), "--by-mass is 10 8", "rising")
    assert_refused(run_command("evaluate.py", known, "--by-mass", "8", "10", "--set", "set1"), "give --data, or --set")
