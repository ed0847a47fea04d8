import itertools
from dataclasses import replace

import numpy as np
import pytest
import scipy.signal
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_gw_resnet import InputError
from keras_gw_resnet.datasets.batches import InjectionBatches
from keras_gw_resnet.datasets.gaussian_noise import GaussianNoise
from keras_gw_resnet.datasets.negatives import KINDS, Negatives
from keras_gw_resnet.datasets.signals import Signals, SignalSource
from keras_gw_resnet.simulation.detectors import antenna_pattern, arrival_delay
from keras_gw_resnet.strain.conditioning import Whitening

WINDOW = 2048


class Silence:
    """Noise that is not there, to see the signals alone."""

    has_loud_places = False

    def __init__(self, taps, detectors):
        self.taps, self.detectors, self.window_samples = taps, detectors, WINDOW

    def draw(self, rng, number):
        shape = (number, len(self.detectors))
        return np.zeros((number, WINDOW, len(self.detectors)), np.float32), np.zeros(shape, int)


def silent(bank, taps, **options):
    shares = {name: options.pop(name) for name in list(options) if name.endswith("_share")}
    made = {"signals": Signals(**options), "negatives": Negatives(**shares)}
    return InjectionBatches(bank, Silence(taps, ("H1", "L1")), batch_size=32, seed=1, **made)


def test_a_batch_is_a_function_of_seed_and_index(small_bank, taps):
    def make(seed):
        return InjectionBatches(
            small_bank, GaussianNoise(taps, ("H1", "L1"), WINDOW, Whitening()), batch_size=8, seed=seed
        )

    one, two = make(1), make(1)
    one[5]
    for index in (3, 0):
        for a, b in zip(one[index], two[index], strict=True):
            np.testing.assert_array_equal(a, b)
    assert not np.array_equal(one[0][0], one[1][0])
    assert not np.array_equal(one[0][0], make(2)[0][0])


def test_half_the_examples_hold_a_signal_and_say_so(small_bank, taps):
    examples = silent(small_bank, taps, lone_signal_share=0.5).examples(0)
    assert examples.strain.shape == (32, WINDOW, 2)
    assert examples.strain.dtype == np.float32
    assert examples.label.shape == (32, 1)
    label = examples.label[:, 0] == 1
    assert label.sum() == 16
    # Every second one: any division of the batch among devices is balanced.
    assert label[::2].all()
    loud = np.abs(examples.strain).max(axis=1) > 0
    assert loud[label].all()
    assert set(loud[~label].sum(axis=1)) == {0, 1}
    power = np.linalg.norm(examples.strain, axis=(1, 2))
    np.testing.assert_allclose(examples.snr[~label], power[~label], rtol=1e-3)
    assert np.all(examples.snr[label] > 0)
    assert np.all(np.isfinite(examples.merger) == label)
    assert np.all((examples.waveform >= 0) == (examples.snr > 0))


def test_merger_and_snr_are_where_they_were_asked_for(small_bank, taps):
    options = {"snr_range": (10.0, 12.0), "merger_range": (0.6, 0.7), "lone_signal_share": 0.0}
    parts = [silent(small_bank, taps, **options).examples(i) for i in range(20)]
    label = np.concatenate([p.label[:, 0] for p in parts]) == 1
    strain, snr, merger = (np.concatenate([getattr(p, n) for p in parts])[label] for n in ("strain", "snr", "merger"))
    assert scipy.stats.kstest((snr - 10) / 2, "uniform").pvalue > 1e-3
    assert scipy.stats.kstest((merger - 0.6) / 0.1, "uniform").pvalue > 1e-3
    # Most of a heavy binary's SNR lies within the second; none can exceed what was asked for.
    recovered = np.sqrt((strain.astype(float) ** 2).sum(axis=(1, 2)))
    assert np.all(recovered < snr * 1.001)
    assert np.median(recovered / snr) > 0.95
    loudest = np.argmax(np.abs(strain).max(axis=-1), axis=1) / WINDOW
    assert np.quantile(np.abs(loudest - merger), 0.9) < 0.06


def test_injected_snr_is_recovered(small_bank, taps):
    """In a window that holds the whole waveform, against the definition: the sum of squares of the whitened signal."""
    window = 16384
    settings = Signals(snr_range=(5.0, 20.0), merger_range=(0.5, 0.6))
    source = SignalSource(small_bank, taps, ("H1", "L1"), window, settings)
    signal, snr, _, _ = source.draw(np.random.default_rng(0), np.zeros((40, 2), int))
    recovered = np.sqrt((signal.astype(float) ** 2).sum(axis=(1, 2)))
    np.testing.assert_allclose(recovered, snr, rtol=0.01)


def test_signal_equals_a_plain_projection_and_whitening(small_bank, taps):
    """The fast path against antenna response, delay and whitening done one by one."""
    source = SignalSource(small_bank, taps, ("H1", "L1"), WINDOW, Signals(snr_range=(10.0, 10.0)))
    seed = 11
    signal, snr, merger, waveform = source.draw(np.random.default_rng(seed), np.zeros((4, 2), int))
    rng = np.random.default_rng(seed)
    again = rng.integers(len(small_bank), size=4)
    np.testing.assert_array_equal(again, waveform)
    longitude, polarization = rng.uniform(0, 2 * np.pi, (2, 4))
    declination = np.arcsin(rng.uniform(-1, 1, 4))
    for i in range(4):
        columns, power = [], 0.0
        for column, name in enumerate(("H1", "L1")):
            geometry = small_bank.detectors[name]
            where = (longitude[i : i + 1], declination[i : i + 1])
            plus, cross = antenna_pattern(geometry, *where, polarization[i : i + 1])
            strain = plus[0] * small_bank.hplus[waveform[i]].astype(float) + cross[0] * small_bank.hcross[waveform[i]]
            padded = np.concatenate([np.zeros(16384), strain, np.zeros(16384)])
            arrival = merger[i] * WINDOW + arrival_delay(geometry, *where)[0] * 2048
            # Band-limited shift by the fraction of a sample.
            whole = int(np.floor(arrival))
            frequency = np.fft.rfftfreq(len(padded))
            shifted = np.fft.irfft(
                np.fft.rfft(padded) * np.exp(-2j * np.pi * frequency * (arrival - whole)), len(padded)
            )
            whitened = scipy.signal.oaconvolve(shifted, taps[column][0], mode="full")[4096:]
            first = 16384 + small_bank.merger_sample - whole
            power += np.sum(whitened**2)
            columns.append(whitened[first : first + WINDOW])
        expected = np.stack(columns, axis=-1) * 10 / np.sqrt(power)
        np.testing.assert_allclose(signal[i], expected, atol=0.02)
        assert np.abs(expected).max() > 0.5
    assert snr.tolist() == [10.0] * 4


def kinds_of(batches, count=30):
    parts = [batches.examples(i) for i in range(count)]
    return {name: np.concatenate([getattr(p, name) for p in parts]) for name in ("strain", "kind", "label", "snr")}


def test_negatives_hold_what_they_say(small_bank, taps):
    shares = {"lone_signal_share": 0.2, "glitch_share": 0.3, "inconsistent_share": 0.25, "loud_share": 0.0}
    batches = silent(small_bank, taps, snr_range=(20.0, 20.0), **shares)
    found = kinds_of(batches, 60)
    negative = found["label"][:, 0] == 0
    assert np.all((found["kind"] == 0) == ~negative)
    counts = np.bincount(found["kind"][negative], minlength=len(KINDS)) / negative.sum()
    np.testing.assert_allclose(counts, [0, 0.25, 0.2, 0.3, 0.25, 0, 0, 0], atol=0.05)
    power = np.sqrt((found["strain"].astype(float) ** 2).sum(axis=1))
    assert not power[found["kind"] == KINDS.index("noise")].any()
    for name in ("lone signal", "glitch"):
        assert np.all((power[found["kind"] == KINDS.index(name)] > 0).sum(axis=1) == 1), name
    glitches = power[found["kind"] == KINDS.index("glitch")].max(axis=1)
    assert glitches.min() > 4.9
    assert glitches.max() < 60.1
    assert np.median(np.sqrt((power[found["kind"] == KINDS.index("inconsistent signal")] ** 2).sum(axis=1))) > 17


def test_inconsistent_signals_arrive_further_apart_than_light_travels(small_bank, taps):
    def lags(**options):
        batches = silent(small_bank, [taps[0], taps[0]], snr_range=(30.0, 30.0), merger_range=(0.5, 0.6), **options)
        found = kinds_of(batches)
        wanted = found["kind"] == (KINDS.index("inconsistent signal") if options["inconsistent_share"] else 0)
        lag = []
        for one, other in found["strain"][wanted].transpose(0, 2, 1):
            envelope = np.abs(scipy.signal.hilbert(scipy.signal.correlate(one, other)))
            lag.append(abs(np.argmax(envelope) - WINDOW + 1) / 2048)
        return np.array(lag)

    consistent = lags(inconsistent_share=0.0, lone_signal_share=0.0)
    assert np.quantile(consistent, 0.9) < 0.011
    inconsistent = lags(inconsistent_share=1.0, lone_signal_share=0.0)
    assert np.quantile(inconsistent, 0.1) > 0.0095


def test_one_detector_has_no_inconsistent_negatives(small_bank, taps):
    negatives = Negatives(lone_signal_share=0.5, inconsistent_share=0.5)
    noise = Silence(taps[:1], ("H1",))
    found = kinds_of(InjectionBatches(small_bank, noise, batch_size=32, seed=1, negatives=negatives))
    assert set(found["kind"]) == {0, 1}


@pytest.mark.parametrize("power", [0.0, 1.0, 4.0])
def test_snr_falls_with_the_power_asked_for(power):
    settings = Signals(snr_range=(5.0, 20.0), snr_power=power)
    snr = settings.draw_snr(np.random.default_rng(0), 20000, 0)
    grid = np.linspace(5, 20, 4001)
    density = np.cumsum(grid**-power)
    assert scipy.stats.kstest(snr, lambda x: np.interp(x, grid, density / density[-1])).pvalue > 1e-3


def test_snr_curriculum_moves_from_its_start_to_its_end():
    settings = Signals(snr_range=(5.0, 20.0), snr_start=(10.0, 25.0), curriculum_epochs=100)
    for index, low, high in ((0, 10, 25), (50, 7.5, 22.5), (100, 5, 20), (1000, 5, 20)):
        snr = settings.draw_snr(np.random.default_rng(0), 5000, index)
        assert (snr.min(), snr.max()) == pytest.approx((low, high), abs=0.05)


@settings(max_examples=20, deadline=None)
@given(st.floats(0, 1), st.floats(0, 1))
def test_any_rising_merger_range_works(small_bank, taps, one, two):
    examples = silent(small_bank, taps, merger_range=(min(one, two), max(one, two))).examples(0)
    assert np.all(np.isfinite(examples.strain))


def test_what_does_not_fit_is_refused(small_bank, taps):
    with pytest.raises(InputError, match="no geometry of G1"):
        SignalSource(small_bank, [taps[0], taps[0]], ("H1", "G1"), WINDOW, Signals())
    with pytest.raises(InputError, match="merger range"):
        silent(small_bank, taps, merger_range=(0.9, 0.2))
    with pytest.raises(InputError, match="empty"):
        silent(small_bank.subset(0, 0), taps)


@pytest.mark.parametrize("batch_size", [32, 96, 24])
def test_parts_of_a_batch_are_those_of_the_whole(small_bank, taps, batch_size):
    """Any share of a batch can be made alone; where blocks allow, nothing else is."""
    shares = Negatives(lone_signal_share=0.3, glitch_share=0.2, inconsistent_share=0.2)
    noise = GaussianNoise(taps, ("H1", "L1"), 2048, Whitening())
    batches = InjectionBatches(small_bank, noise, batch_size=batch_size, seed=3, negatives=shares)
    strain, label = batches[5]
    assert label.sum() == batch_size / 2
    for parts in (p for p in (2, 3, 4) if batch_size % p == 0):
        edges = np.arange(parts + 1) * (batch_size // parts)
        own = [batches.rows(5, *edge) for edge in itertools.pairwise(edges.tolist())]
        np.testing.assert_array_equal(np.concatenate([part[0] for part in own]), strain)
        np.testing.assert_array_equal(np.concatenate([part[1] for part in own]), label)
    # Blocks do not repeat one another.
    assert len(np.unique(strain[:, 0, 0])) == batch_size


def test_heavy_systems_are_drawn_more_often(small_bank):
    mass = small_bank.parameters["mchirp"]
    taps = np.zeros(512, np.float32)
    taps[256] = 1.0
    for power in (0.0, 2.5):
        source = SignalSource(small_bank, [[taps]], ("H1",), 2048, Signals(mass_power=power))
        *_, waveform = source.draw(np.random.default_rng(5), np.zeros((4000, 1), int))
        expected = np.average(mass, weights=mass**power)
        assert np.mean(mass[waveform]) == pytest.approx(expected, rel=0.03)
    assert np.average(mass, weights=mass**2.5) > 1.1 * np.mean(mass)
    nameless = replace(small_bank, parameters={"mass1": small_bank.parameters["mass1"]})
    with pytest.raises(InputError, match="no chirp masses"):
        SignalSource(nameless, [[taps]], ("H1",), 2048, Signals(mass_power=2.0))
