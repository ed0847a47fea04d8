"""What a network looks at, tested where it is known: in simulated signals."""

import json

import numpy as np
import pytest
import scipy.ndimage

from keras_gw_resnet import Detector, InputError, build_model
from keras_gw_resnet.cli import main
from keras_gw_resnet.datasets.gaussian_noise import gaussian_noise
from keras_gw_resnet.datasets.signals import Signals, SignalSource
from keras_gw_resnet.search.explain import explain, time_frequency
from keras_gw_resnet.simulation.sets import psds_of
from keras_gw_resnet.simulation.waveforms import make_bank
from keras_gw_resnet.strain.stretches import WhitenedStretch
from tests.conftest import settle_batch_norm
from tests.test_zoo import CARD

RATE, SAMPLES, START = 2048, 8192, 1e9
# Share of a signal's power that its track holds, and samples that it is widened by: a stride of the network's features.
POWER, WIDENED = 0.95, 32


@pytest.fixture(scope="module")
def network():
    return Detector.load("resnet18-w16")


@pytest.fixture(scope="module")
def explained(network):
    """Explanations of three simulated signals, each with its signal alone and its masses."""
    bank = make_bank("set3", 6, seed=77, detectors=network.detectors)
    noise = gaussian_noise(psds_of(["aLIGOZeroDetHighPower"], network.detectors), SAMPLES, network.whitening)
    settings = Signals(snr_range=(12, 20), merger_range=(0.55, 0.6))
    source = SignalSource(bank, noise.taps, noise.detectors, SAMPLES, settings)
    strain, filters = noise.draw(rng := np.random.default_rng(5), 3)
    signal, _, merger, waveform = source.draw(rng, filters)
    found = []
    for one, alone, own, at, index in zip(strain, signal, filters, merger, waveform, strict=True):
        taps = tuple([(0, every[number])] for every, number in zip(noise.taps, own, strict=True))
        stretch = WhitenedStretch(START, RATE, network.detectors, (one + alone).astype(np.float32), taps)
        explanation = explain(network, stretch, START + at * SAMPLES / RATE, steps=32)
        first = round((explanation.gps_start - START) * RATE)
        masses = {name: float(bank.parameters[name][index]) for name in ("mass1", "mass2", "mchirp")}
        found.append((explanation, alone[first : first + len(explanation.strain)], masses))
    return found


def test_nine_tenths_of_the_attribution_lie_in_the_track_of_the_signal(explained):
    for found, signal, _ in explained:
        power = np.cumsum(np.sum(signal**2, axis=1))
        first, last = np.searchsorted(power / power[-1], [(1 - POWER) / 2, (1 + POWER) / 2])
        inside = found.attribution[max(0, first - WIDENED) : last + WIDENED]
        assert inside.sum() > 0.9 * found.attribution.sum()
        assert np.abs(inside).sum() > 0.9 * np.abs(found.attribution).sum()
        assert len(inside) < 0.75 * len(found.attribution)


def test_nine_tenths_of_the_map_lie_in_the_track_over_time_and_frequency(explained):
    for found, signal, _ in explained:
        _, _, own = time_frequency(signal, signal, RATE)
        falling = np.sort(own.ravel())[::-1]
        least = falling[np.searchsorted(np.cumsum(falling), POWER * falling.sum())]
        track = np.stack([scipy.ndimage.binary_dilation(one >= least, np.ones((3, 3))) for one in own])
        assert track.mean() < 0.1
        assert found.map[track].sum() > 0.9 * found.map.sum()
        assert np.abs(found.map[track]).sum() > 0.9 * np.abs(found.map).sum()


def test_all_adds_up_to_the_statistic(explained, network):
    for found, _, _ in explained:
        assert sum(found.parts.values()) == pytest.approx(found.stat, abs=1e-3)
        np.testing.assert_allclose(found.map.sum(axis=(1, 2)), found.attribution.sum(axis=0), rtol=1e-4)
        assert abs(found.unexplained) < 0.05 * (found.stat - found.silence)
        assert set(found.alone) == set(found.without) == {"H1", "L1"}
        assert found.alone["H1"] == found.without["L1"] < found.stat
        window = found.strain.copy()
        window[:, 0] = 0
        assert network.scanner.scan(window).scores[0] == pytest.approx(found.alone["L1"], abs=1e-3)


def test_the_best_template_is_like_the_binary(explained):
    """Within the spacing of 128 templates; of unequal masses and spins they are alike others."""
    for found, _, masses in explained:
        template = found.template
        assert template.of == "ranking statistic" or template.of == "matched filter"
        assert template.match > 0.85 and template.chirp_mass == pytest.approx(masses["mchirp"], rel=0.3)
        assert max(template.snr) > 7


def test_a_network_without_templates_and_of_three_detectors():
    model = build_model("resnet16", width=4, input_shape=(2048, 3))
    settle_batch_norm(model)
    network = Detector(model, {**CARD, "detectors": ["H1", "L1", "V1"]})
    strain = np.random.default_rng(0).normal(size=(3 * RATE, 3)).astype(np.float32)
    stretch = WhitenedStretch(START, RATE, network.detectors, strain, ([], [], []))
    found = network.explain([stretch], START + 1.5)
    assert found.template is None and list(found.parts) == ["stack", "bias"]
    assert list(found.without) == ["H1", "L1", "V1"] and found.map.shape[0] == 3
    finer = explain(network, stretch, START + 1.5, steps=512)
    assert abs(finer.unexplained) < 0.02 and abs(found.unexplained) < 0.3
    with pytest.raises(InputError, match=r"GPS 5 is not in the strain that could be whitened \(none is near\)"):
        network.explain([stretch], 5.0)
    with pytest.raises(InputError, match="time is 'now'; expected GPS seconds"):
        network.explain([stretch], "now")
    with pytest.raises(InputError, match="no window of the strain tells of it"):
        explain(network, stretch, START + 100)


def test_the_command_prints_writes_and_draws(tmp_path, capsys):
    plot, text = tmp_path / "e.png", tmp_path / "e.json"
    given = ["explain", "resnet18-w16", "GW150914", "--time", "1126259462.42"]
    assert main([*given, "--plot", str(plot), "--json", str(text)]) == 0
    said = capsys.readouterr().out
    assert "without any strain" in said and "best template" in said
    found = json.loads(text.read_text())
    assert found["stat"] == pytest.approx(60.68, abs=0.1)  # as a search finds it
    low, high = found["template"]["chirp_mass_range"]
    assert low < 33 and high > 28  # GW150914: 30 to 32 in the detector frame
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert main([*given, "--plot", str(plot)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert main([*given[:-1], "1"]) == 2
    assert "GPS 1 is not in the strain" in capsys.readouterr().err
