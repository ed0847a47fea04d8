import numpy as np
import pytest
import scipy.signal
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_gw_resnet import InputError
from keras_gw_resnet.datasets.batches import InjectionBatches, InjectionSettings, SignalSource
from keras_gw_resnet.datasets.noise import GaussianNoise
from keras_gw_resnet.simulation.detectors import antenna_pattern, arrival_delay
from keras_gw_resnet.simulation.psds import load_psd
from keras_gw_resnet.strain.conditioning import Whitening, whitening_filter

WINDOW = 2048


class Silence:
    """Noise that is not there, to see the signals alone."""

    def __init__(self, taps, detectors):
        self.taps, self.detectors, self.window_samples = taps, detectors, WINDOW

    def draw(self, rng, number):
        shape = (number, len(self.detectors))
        return np.zeros((number, WINDOW, len(self.detectors)), np.float32), np.zeros(shape, int)


@pytest.fixture(scope="module")
def taps():
    settings = Whitening()
    psds = [load_psd(n, 0.25, 1024) for n in ("aLIGOZeroDetHighPower", "aLIGOEarlyHighSensitivityP1200087")]
    return [[whitening_filter(psd, settings)] for psd in psds]


def silent(bank, taps, **options):
    settings = InjectionSettings(**options)
    return InjectionBatches(bank, Silence(taps, ("H1", "L1")), batch_size=32, seed=1, settings=settings)


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
    assert np.all((examples.snr > 0) == label)
    assert np.all(np.isfinite(examples.merger) == label)
    assert np.all((examples.waveform >= 0) == label)


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


def test_signal_equals_a_plain_projection_and_whitening(small_bank, taps):
    """The fast path against antenna response, delay and whitening done one by one."""
    source = SignalSource(small_bank, taps, ("H1", "L1"), WINDOW, InjectionSettings(snr_range=(10.0, 10.0)))
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


@settings(max_examples=20, deadline=None)
@given(st.floats(0, 1), st.floats(0, 1))
def test_any_rising_merger_range_works(small_bank, taps, one, two):
    examples = silent(small_bank, taps, merger_range=(min(one, two), max(one, two))).examples(0)
    assert np.all(np.isfinite(examples.strain))


def test_what_does_not_fit_is_refused(small_bank, taps):
    with pytest.raises(InputError, match="no geometry of V1"):
        SignalSource(small_bank, [taps[0], taps[0]], ("H1", "V1"), WINDOW, InjectionSettings())
    with pytest.raises(InputError, match="merger range"):
        silent(small_bank, taps, merger_range=(0.9, 0.2))
    with pytest.raises(InputError, match="empty"):
        silent(small_bank.subset(0, 0), taps)
