from types import SimpleNamespace

import numpy as np
import pytest

from keras_gw_resnet.evaluation.glitch_test import GlitchScores, score_glitches
from keras_gw_resnet.simulation.glitch_bank import GlitchBank
from keras_gw_resnet.strain.conditioning import Whitening


def loudest_sample_network():
    """Ranks by the largest whitened sample of a detector."""
    return SimpleNamespace(
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
    assert (rows["Faint"]["100"], rows["Loud"]["100"], rows["SNR 10 to 20"]["glitches"]) == (0.0, 1.0, 4)
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
