import itertools

import numpy as np
import pytest
import scipy.signal
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from keras_gw_resnet import InputError
from keras_gw_resnet.simulation.noise import coloured_noise
from keras_gw_resnet.simulation.psds import load_psd
from keras_gw_resnet.strain.conditioning import (
    NoiseSpectra,
    Whitening,
    preprocess_input,
    psd_blocks,
    resample,
    response,
    whiten,
    whitening_filter,
)

SETTINGS = Whitening()


@pytest.fixture(scope="module")
def psd():
    return load_psd("aLIGOZeroDetHighPower", 0.25, 1024)


@pytest.fixture(scope="module")
def noise():
    return coloured_noise("aLIGOZeroDetHighPower", 1238166018, 256, seed=5)


def test_whitened_noise_is_white_gaussian_and_of_unit_variance(noise):
    whitened, _ = whiten(noise, SETTINGS)
    assert len(whitened) == len(noise) - 2 * SETTINGS.edge_samples
    band = 1 - SETTINGS.low_frequency / 1024
    assert whitened.var() == pytest.approx(band, abs=0.015)
    frequency, spectrum = scipy.signal.welch(whitened, 2048, nperseg=4096)
    inside = (frequency > 25) & (frequency < 1000)
    assert np.abs(spectrum[inside] * 1024 - 1).max() < 0.5
    assert (spectrum[inside] * 1024).mean() == pytest.approx(1, abs=0.015)
    lags = np.arange(1, 200)
    correlation = np.array([np.mean(whitened[:-lag] * whitened[lag:]) for lag in lags]) / whitened.var()
    # Without the band below 20 Hz neighbours keep a correlation of -2 %: nothing beyond that is left.
    missing = -np.sin(2 * np.pi * 20 * lags / 2048) / (np.pi * lags) / band
    assert np.abs(correlation - missing).max() < 0.01
    assert np.abs(correlation).max() < 0.02 + 0.003
    # Every twentieth sample: the missing band below 20 Hz correlates neighbours by 2 %.
    assert scipy.stats.kstest(whitened[::20] / whitened.std(), "norm").pvalue > 1e-3


def test_sum_of_squares_is_the_optimal_snr_squared(psd):
    time = np.arange(-4, 4, 1 / 2048)
    signal = 1e-22 * np.exp(-(time**2) / 0.01) * np.cos(2 * np.pi * 90 * time)
    taps = whitening_filter(psd, SETTINGS)
    whitened = scipy.signal.oaconvolve(signal, taps, mode="same")
    frequency = np.fft.rfftfreq(len(signal), 1 / 2048)
    spectrum = np.fft.rfft(signal) / 2048
    density = np.interp(frequency, np.arange(len(psd)) / 4, psd)
    band = (frequency >= 20) & (density > 0)
    snr_squared = 4 * np.sum(np.abs(spectrum[band]) ** 2 / density[band]) * (frequency[1] - frequency[0])
    assert np.sum(whitened**2) == pytest.approx(snr_squared, rel=2e-3)
    from pycbc.filter import sigma
    from pycbc.types import FrequencySeries, TimeSeries

    long_psd = FrequencySeries(np.interp(frequency, np.arange(len(psd)) / 4, psd), delta_f=frequency[1])
    theirs = sigma(TimeSeries(signal, 1 / 2048), long_psd, low_frequency_cutoff=20)
    assert np.sqrt(np.sum(whitened**2)) == pytest.approx(theirs, rel=1e-3)


def test_psd_agrees_with_pycbc(noise, psd):
    from pycbc.psd import welch
    from pycbc.types import TimeSeries

    ours = NoiseSpectra(noise, SETTINGS).near(len(noise) / 2)
    theirs = welch(TimeSeries(noise, 1 / 2048), seg_len=8192, seg_stride=4096, avg_method="median").numpy()
    band = slice(80, 4090)
    np.testing.assert_allclose(ours[band], theirs[band], rtol=0.02)
    assert np.mean(ours[band] / psd[band]) == pytest.approx(1, abs=0.02)


def test_whitened_time_is_the_strain_time(noise):
    marked = noise.copy()
    marked[100000] += 1e-18
    whitened, _ = whiten(marked, SETTINGS)
    assert np.argmax(np.abs(whitened)) + SETTINGS.edge_samples == 100000


def test_filter_response_matches_its_taps(psd):
    taps = whitening_filter(psd, SETTINGS)
    np.testing.assert_allclose(taps[1:], taps[1:][::-1])
    wanted = 1 / np.sqrt(psd[400:4000] * 1024)
    np.testing.assert_allclose(response(taps)[400:4000], wanted, rtol=1e-2)
    assert np.all(response(taps)[:75] < 1e-6 * wanted.max())


def test_real_strain_is_white(gw150914_files):
    from keras_gw_resnet.strain.files import find_segments
    from keras_gw_resnet.strain.stretches import whitened_stretches

    (stretch,) = whitened_stretches(find_segments(gw150914_files), ("H1", "L1"), SETTINGS)
    assert stretch.strain.std(axis=0) == pytest.approx([1, 1], abs=0.05)
    for strain in stretch.strain.T:
        frequency, spectrum = scipy.signal.welch(strain, 2048, nperseg=4096, average="median")
        band = (frequency > 25) & (frequency < 900)
        lines = spectrum / scipy.signal.medfilt(spectrum, 41)
        assert lines[band].max() < 5


def test_resampling_keeps_the_band_and_removes_what_lies_above():
    time = np.arange(4096 * 8) / 4096
    low, high = np.sin(2 * np.pi * 200 * time), np.sin(2 * np.pi * 1500 * time)
    result = resample(low + high, 4096, 2048)
    assert len(result) == 2048 * 8
    inside = slice(200, -200)
    np.testing.assert_allclose(result[inside], low[::2][inside], atol=5e-3)
    assert resample(low, 4096, 4096) is low
    with pytest.raises(InputError, match="1024 Hz; at least 2048"):
        resample(low, 1024, 2048)


@given(st.integers(0, 3_000_000), st.floats(8, 600))
def test_blocks_tile_the_stretch(samples, psd_seconds):
    settings = Whitening(psd_seconds=psd_seconds)
    blocks = psd_blocks(samples, settings)
    edge = settings.edge_samples
    if samples <= 2 * edge:
        assert blocks == []
        return
    assert blocks[0][0] == edge
    assert blocks[-1][1] == samples - edge
    assert all(a[1] == b[0] for a, b in itertools.pairwise(blocks))
    assert all(0 < stop - start <= round(psd_seconds * 2048) for start, stop in blocks)


def test_the_spectrum_is_that_of_the_nearest_valid_strain(noise):
    settings = Whitening(psd_seconds=32)
    loud = noise.copy()
    loud[len(noise) // 2 :] *= 10
    spectra = NoiseSpectra(loud, settings)
    band = slice(80, 4000)
    assert np.median(spectra.near(len(noise))[band] / spectra.near(0)[band]) == pytest.approx(100, rel=0.1)
    # A long piece keeps to itself, whatever lies beyond the gap.
    middle = len(noise) // 2
    apart = NoiseSpectra(loud, SETTINGS, [(0, middle), (middle + 1, len(noise))])
    np.testing.assert_allclose(apart.near(0), NoiseSpectra(loud[:middle], SETTINGS).near(0), rtol=1e-12)
    # Across a gap: short pieces have the spectrum of all the strain around.
    holes = [(a * 2048 + 20, (a + 6) * 2048) for a in range(0, 250, 6)]
    pieced = NoiseSpectra(noise, SETTINGS, holes).near(0)
    assert np.mean(pieced[band] / NoiseSpectra(noise, SETTINGS).near(0)[band]) == pytest.approx(1, abs=0.02)
    assert not NoiseSpectra(noise, SETTINGS, [(0, 15 * 2048)]).enough
    assert NoiseSpectra(noise, SETTINGS, [(0, 16 * 2048)]).enough


def test_a_short_piece_whose_noise_is_another_keeps_to_itself(noise):
    start, stop, rate = 100, 120, SETTINGS.sample_rate
    runs = [(0, (start - 1) * rate), (start * rate, stop * rate), ((stop + 1) * rate, len(noise))]
    piece = slice(start * rate, stop * rate)
    inside = (start + stop) / 2 * rate
    # Alike: the strain beyond the gaps counts too, and the estimate scatters less than that of 20 s.
    quiet, alone = NoiseSpectra(noise, SETTINGS, runs).near(inside), NoiseSpectra(noise[piece], SETTINGS).near(0)
    whole, band = NoiseSpectra(noise, SETTINGS).near(inside), slice(80, 4000)
    assert np.std(np.log(quiet[band] / whole[band])) < 0.7 * np.std(np.log(alone[band] / whole[band]))
    # Ten times as loud between 20 and 80 Hz only.
    low = scipy.signal.butter(4, (20, 80), "bandpass", fs=rate, output="sos")
    changed = noise.copy()
    changed[piece] += 9 * scipy.signal.sosfiltfilt(low, noise)[piece]
    spectra = NoiseSpectra(changed, SETTINGS, runs)
    np.testing.assert_allclose(spectra.near(inside), NoiseSpectra(changed[piece], SETTINGS).near(0), rtol=1e-12)
    assert whiten(changed[piece], SETTINGS, spectra, piece.start)[0].std() < 1.3
    pooled = whitening_filter(quiet, SETTINGS)
    assert scipy.signal.oaconvolve(changed[piece], pooled, mode="valid").std() > 2


def test_preprocess_input_is_the_conditioning_of_the_search(gw150914_files):
    from keras_gw_resnet.strain.files import find_segments, read_segment
    from keras_gw_resnet.strain.stretches import whitened_stretches

    headers = find_segments(gw150914_files)
    (stretch,) = whitened_stretches(headers, ("H1", "L1"), SETTINGS)
    raw = np.stack([read_segment(header).strain for header in headers], axis=-1)
    np.testing.assert_array_equal(preprocess_input(raw, 4096), stretch.strain)


@pytest.mark.parametrize("strain", [[["a", "b"]], np.ones((100000, 2)) * 1j, np.ones((100000, 2), bool)])
def test_preprocess_input_refuses_what_is_no_real_number(strain):
    with pytest.raises(InputError, match="expected real numbers"):
        preprocess_input(strain, 2048)


@pytest.mark.parametrize("rate", [float("nan"), -1, 0, float("inf"), "2048", None])
def test_preprocess_input_refuses_a_sample_rate_that_is_none(rate):
    with pytest.raises(InputError, match=r"a sample rate of .*expected a finite number above 0"):
        preprocess_input(np.random.default_rng(0).normal(size=(40960, 2)), rate)


def test_preprocess_input_refuses_what_it_cannot_whiten():
    with pytest.raises(InputError, match=r"expected .samples, detectors."):
        preprocess_input(np.ones(100000), 2048)
    with pytest.raises(InputError, match="not finite"):
        preprocess_input(np.full((100000, 2), np.nan), 2048)


def test_unusable_strain_is_refused(psd):
    with pytest.raises(InputError, match="too short to whiten"):
        whiten(np.ones(8192), SETTINGS)
    with pytest.raises(InputError, match="too short for a noise spectrum; at least 16 s"):
        whiten(np.ones(20000), SETTINGS)
    with pytest.raises(InputError, match="zero or not finite"):
        whiten(np.ones(40000), SETTINGS)
    with pytest.raises(InputError, match="expected 4097"):
        whitening_filter(psd[:-1], SETTINGS)


def test_what_the_file_reader_would_cut_out_is_refused(tmp_path):
    """As in files: the same seconds are no strain, whether they are read or given."""
    from keras_gw_resnet.strain.files import find_segments, read_segment
    from keras_gw_resnet.strain.writers import mlgwsc1_file

    rate, good = 4096, np.random.default_rng(0).normal(size=(20 * 4096, 2)) * 1e-21
    assert preprocess_input(good, rate).shape == (16 * 2048, 2)
    stuck, dead, absurd = good.copy(), good.copy(), good.copy()
    stuck[8 * rate : 9 * rate, 1], dead[: 5 * rate], absurd[30_000, 0] = 3e-21, 0, 1e30
    for number, strain in enumerate((stuck, dead, absurd)):
        with mlgwsc1_file(tmp_path / f"{number}.hdf", ["H1", "L1"], rate) as add:
            for detector, column in zip(("H1", "L1"), strain.T, strict=True):
                add(detector, 0, column)
        read = [read_segment(header).valid.all() for header in find_segments(tmp_path / f"{number}.hdf")]
        assert not all(read)
        with pytest.raises(InputError, match=f"strain of detector {read.index(False)} is no strain from"):
            preprocess_input(strain, rate)
    with pytest.raises(InputError, match=r"from 0 to 5 s .*cut that out first"):
        preprocess_input(dead, rate)


def test_exchanged_axes_are_said():
    strain = np.random.default_rng(0).normal(size=(20 * 4096, 2))
    for shape in ((5, 0), (0, 0)):
        with pytest.raises(InputError, match=r"expected \(samples, detectors\)"):
            preprocess_input(np.zeros(shape), 4096)
    with pytest.raises(InputError, match=r"shape \(2, 81920\): the axes look exchanged.*give strain\.T"):
        preprocess_input(strain.T, 4096)
