from dataclasses import replace

import h5py
import numpy as np
import pytest
import scipy.signal

from keras_gw_resnet import InputError
from keras_gw_resnet.simulation.injections import detector_strain, inject
from keras_gw_resnet.simulation.populations import get_population
from keras_gw_resnet.simulation.psds import load_psd
from keras_gw_resnet.strain import stretches
from keras_gw_resnet.strain.conditioning import Whitening, whiten
from keras_gw_resnet.strain.files import find_segments
from keras_gw_resnet.strain.stretches import Coverage, whitened_stretches
from keras_gw_resnet.strain.writers import mlgwsc1_file
from tests.conftest import assert_refused, run_command, shared

START, RATE, SECONDS = 1_000_000_007, 2048, 240
PSD = "aLIGOZeroDetHighPower"


@pytest.fixture(scope="module")
def quiet():
    rng, size = np.random.default_rng(0), SECONDS * RATE
    amplitude = np.sqrt(load_psd(PSD, 1 / SECONDS, RATE / 2) * RATE / 2)
    return {d: np.fft.irfft(np.fft.rfft(rng.normal(size=size)) * amplitude) for d in ("H1", "L1")}


def written(path, strain):
    with mlgwsc1_file(path, list(strain), RATE, compress=False) as add:
        for detector, samples in strain.items():
            add(detector, START, samples)
    return find_segments([path])


def burst(at, deviations, frequency=90.0, quality=8.0):
    """A sine-Gaussian whose largest whitened sample is about so many standard deviations."""
    time = np.arange(SECONDS * RATE) / RATE - at
    shape = np.exp(-((2 * np.pi * frequency * time / quality) ** 2) / 2) * np.cos(2 * np.pi * frequency * time)
    return deviations * 1.3e-22 * shape


def whitened(headers, settings, coverage=None):
    return list(whitened_stretches(headers, ("H1", "L1"), settings, coverage=coverage))


def test_loud_strain_is_tapered_out_and_the_rest_is_what_it_was(quiet, tmp_path):
    glitches = [(60.0, 300), (123.4, 3000), (200.5, 20)]
    loud = {"H1": quiet["H1"] + sum(burst(*g) for g in glitches), "L1": quiet["L1"]}
    coverage = Coverage()
    (gated,) = whitened(written(tmp_path / "loud.hdf", loud), Whitening(), coverage)
    (open_,) = whitened(written(tmp_path / "loud2.hdf", loud), Whitening(gate=0.0))
    (calm,) = whitened(written(tmp_path / "quiet.hdf", quiet), Whitening())
    h1, l1 = gated.gates
    assert l1 == [] and calm.gates == ([], [])
    assert len(h1) == 2
    for (start, stop), (at, _) in zip(h1, glitches, strict=False):
        assert start < START + at - 0.5 and START + at + 0.5 < stop and stop - start < 2.5
    assert coverage.gated == pytest.approx(sum(b - a for a, b in h1), abs=2 / RATE)
    assert np.abs(open_.strain[:, 0]).max() > 1000
    time = gated.gps_start + np.arange(len(gated.strain)) / RATE - START
    far = np.all([np.abs(time - at) > 4 for at, _ in glitches], axis=0)
    np.testing.assert_allclose(gated.strain[far], calm.strain[far], atol=0.3)
    np.testing.assert_array_equal(gated.strain[:, 1], open_.strain[:, 1])
    inside = np.abs(time - 60) < 0.3
    assert np.abs(gated.strain[inside, 0]).max() < 1
    assert np.abs(gated.strain[np.abs(time - 200.5) < 0.2, 0]).max() > 10
    assert np.abs(gated.strain[far]).max() < 7


def test_the_same_samples_are_gated_however_the_strain_is_read(quiet, tmp_path, monkeypatch):
    loud = {"H1": quiet["H1"] + burst(99.9, 400) + burst(201.0, 70), "L1": quiet["L1"] + burst(150.0, 90)}
    headers = written(tmp_path / "loud.hdf", loud)
    found = []
    for seconds in (1024, 71):
        monkeypatch.setattr(stretches, "CHUNK_SECONDS", seconds)
        parts = whitened(headers, Whitening())
        found.append([sorted({gate for part in parts for gate in part.gates[column]}) for column in range(2)])
        merged = []
        for column in found[-1]:
            joined = []
            for start, stop in column:
                if joined and start <= joined[-1][1]:
                    joined[-1] = (joined[-1][0], max(stop, joined[-1][1]))
                else:
                    joined.append((start, stop))
            merged.append(joined)
        found[-1] = merged
    assert [len(column) for column in found[0]] == [2, 1]
    assert found[0] == found[1]


def test_strain_without_glitches_is_whitened_as_without_a_gate(quiet, tmp_path):
    headers = written(tmp_path / "quiet.hdf", quiet)
    for one, other in zip(whitened(headers, Whitening()), whitened(headers, Whitening(gate=0.0)), strict=True):
        np.testing.assert_array_equal(one.strain, other.strain)


@pytest.mark.parametrize("masses", [(7.0, 7.0), (100.0, 90.0)])
def test_a_signal_of_snr_100_is_not_gated(quiet, tmp_path, masses):
    """The detector that sees most of it takes all of the SNR of 100 here."""
    population = replace(get_population("set3"), mass_range=masses[::-1])
    row = dict.fromkeys(("spin1x", "spin1y", "spin1z", "spin2x", "spin2y", "spin2z", "coa_phase", "ra"), 0.0)
    row |= {"mass1": masses[0], "mass2": masses[1], "distance": 100.0, "dec": 0.5, "polarization": 0.3}
    row |= {"tc": START + 150.3, "inclination": 0.4}
    signal = detector_strain(row, population, "H1")
    alone = np.zeros(SECONDS * RATE)
    inject(alone, START, [signal])
    _, filters = whiten(quiet["H1"], Whitening())
    snr = np.sqrt(np.sum(scipy.signal.oaconvolve(alone, filters[0][1], mode="valid") ** 2))
    loud = {"H1": quiet["H1"] + alone * 100 / snr, "L1": quiet["L1"]}
    (stretch,) = whitened(written(tmp_path / "signal.hdf", loud), Whitening())
    assert stretch.gates == ([], [])
    assert np.abs(stretch.strain[:, 0]).max() < 40


def test_real_transients_of_many_sigma_are_gated_and_gw150914_is_not():
    for name, gated in (("GW150914", 0), ("GW191204_171526", 1), ("GW191230_180458", 1)):
        headers = find_segments([shared("real", f"{name}.hdf")])
        (stretch,) = whitened(headers, Whitening())
        assert [len(gates) for gates in stretch.gates] == [gated, 0]
        assert np.abs(stretch.strain).max() < 7


def test_a_gate_that_takes_most_of_the_strain_is_refused(quiet, tmp_path):
    with pytest.raises(
        InputError,
        match=r"more than half of the strain; give a higher one, 0 for none .*--data\.whitening\.gate of a training",
    ):
        whitened(written(tmp_path / "quiet.hdf", quiet), Whitening(gate=2.0))


@pytest.mark.slow
def test_a_search_says_what_was_gated(small_run, tmp_path):
    strain, out = shared("real", "GW191204_171526.hdf"), tmp_path / "events.hdf"
    for options, said, seconds in (
        ((), "gated 1.0 s of what was searched, beyond 50 sigma", 1.03),
        (("--gate", 0), None, 0),
    ):
        command = ("search", small_run, strain, *options, "--output", out, "--overwrite")
        result = run_command("-m", "keras_gw_resnet", *command)
        assert result.returncode == 0, result.stderr
        assert said in result.stdout if said else "gated" not in result.stdout
        with h5py.File(out) as file:
            assert file.attrs["gated_seconds"] == pytest.approx(seconds, abs=0.01)
            assert file.attrs["gate"] == (50 if said else 0)
    result = run_command(
        "-m", "keras_gw_resnet", "search", small_run, strain, "--gate", 3, "--output", tmp_path / "x.hdf"
    )
    assert_refused(result, "--gate", "at least 10")
