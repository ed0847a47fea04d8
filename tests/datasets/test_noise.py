import itertools

import numpy as np
import pytest
import scipy.signal
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from keras_gw_resnet import InputError
from keras_gw_resnet.datasets.gaussian_noise import GaussianNoise
from keras_gw_resnet.datasets.noise import FileNoise, MixedNoise
from keras_gw_resnet.datasets.noise_stretches import read_noise, split_stretches, without_known_events
from keras_gw_resnet.strain.catalogue import catalogue_events
from keras_gw_resnet.strain.conditioning import Whitening, whitening_filter
from keras_gw_resnet.strain.files import find_segments
from keras_gw_resnet.strain.stretches import WhitenedStretch
from keras_gw_resnet.strain.writers import mlgwsc1_file

TAPS = [np.zeros(8192), np.ones(8192), np.full(8192, 2.0)]


def stretch(samples, gps_start=1000.0, cuts=(0,), detectors=("H1", "L1")):
    """Strain whose values say where they come from: sample number, plus a million for the second detector."""
    strain = np.arange(samples, dtype=np.float32)[:, None] + np.arange(len(detectors), dtype=np.float32) * 1e6
    filters = tuple([(c, TAPS[i]) for i, c in enumerate(cuts)] for _ in detectors)
    return WhitenedStretch(gps_start, 2048, detectors, strain, filters)


def test_windows_are_cut_from_the_files_each_detector_at_its_own_time():
    noise = FileNoise([stretch(10000)], 100)
    windows, filters = noise.draw(np.random.default_rng(0), 500)
    assert windows.shape == (500, 100, 2)
    assert filters.shape == (500, 2)
    np.testing.assert_array_equal(np.diff(windows, axis=1), 1)
    first = windows[:, 0, :] - [0, 1e6]
    assert first.min() >= 0
    assert first.max() <= 9900
    assert scipy.stats.kstest(first[:, 0] / 9900, "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(first.T)[0, 1]) < 0.2


@given(st.integers(120, 5000), st.integers(120, 5000), st.integers(1, 120))
def test_no_window_runs_over_a_change_of_filter(first, second, window):
    noise = FileNoise([stretch(first + second, cuts=(0, first))], window)
    windows, filters = noise.draw(np.random.default_rng(0), 50)
    starts = windows[:, 0, 0]
    late = starts >= first
    assert np.all((starts + window <= first) | late)
    np.testing.assert_array_equal([noise.taps[0][i][0] for i in filters[:, 0]], late)


def test_too_short_noise_is_refused():
    with pytest.raises(InputError, match="as long as one window of 200 samples"):
        FileNoise([stretch(199)], 200)
    with pytest.raises(InputError, match="as long as one window of 200 samples"):
        FileNoise([stretch(300, cuts=(0, 150))], 200)


@given(st.integers(3000, 100_000), st.floats(0.05, 0.9), st.lists(st.integers(1, 99_000), max_size=2, unique=True))
def test_held_out_part_is_later_and_keeps_its_filter(samples, share, cuts):
    cuts = (0, *sorted(c for c in cuts if c < samples))
    whole = stretch(samples, cuts=cuts)
    kept, held_out = split_stretches([whole], share, margin_seconds=1.0)
    for part in (*kept, *held_out):
        if not len(part.strain):
            continue
        offset = round((part.gps_start - whole.gps_start) * 2048)
        assert part.strain[0, 0] == offset
        for start, taps in part.filters[0]:
            owner = max(i for i, c in enumerate(cuts) if c <= offset + start)
            assert taps is TAPS[owner]
    if held_out:
        assert held_out[0].gps_start >= kept[0].gps_start + kept[0].seconds + 0.999


def test_simulated_noise_is_white_above_the_cut():
    settings = Whitening()
    noise = GaussianNoise([TAPS[:1], TAPS[:2]], ("H1", "L1"), 2048, settings)
    windows, filters = noise.draw(np.random.default_rng(0), 400)
    assert windows.dtype == np.float32
    assert windows.var() == pytest.approx(1 - 20 / 1024, abs=5e-3)
    assert set(filters[:, 0]) == {0}
    assert set(filters[:, 1]) == {0, 1}
    power = (np.abs(np.fft.rfft(windows * np.hanning(2048)[:, None], axis=1)) ** 2).mean(axis=(0, 2))
    assert power[:15].max() < 0.01 * power[40:].mean()
    assert power[30:].std() / power[30:].mean() < 0.1
    assert abs(np.corrcoef(windows[..., 0].ravel(), windows[..., 1].ravel())[0, 1]) < 5e-3


def test_loud_places_are_found_and_shown():
    rng = np.random.default_rng(0)
    strain = rng.normal(size=(20000, 2)).astype(np.float32)
    strain[7000, 0], strain[15000, 0] = 20.0, -30.0
    filters = tuple([(0, TAPS[0])] for _ in range(2))
    noise = FileNoise([WhitenedStretch(0.0, 2048, ("H1", "L1"), strain, filters)], 1000)
    windows, _ = noise.draw_loud(rng, 400)
    loud = np.abs(windows).max(axis=1) > 10
    # The second detector has no loud place to show; the first is chosen half the time.
    assert not loud[:, 1].any()
    assert 0.4 < loud[:, 0].mean() < 0.65
    where = np.argmax(np.abs(windows[loud[:, 0], :, 0]), axis=1)
    assert where.min() < 100
    assert where.max() > 900


def test_noise_whitened_with_an_estimate_has_the_spectrum_that_leaves():
    settings = Whitening()
    psd = np.full(4097, 1e-46)
    estimate = psd * np.where(np.arange(4097) < 2000, 4.0, 1.0)
    taps = [[whitening_filter(estimate, settings)]]
    noise, _ = GaussianNoise(taps, ("H1",), 2048, settings, [[psd]]).draw(np.random.default_rng(0), 300)
    spectrum = scipy.signal.welch(noise[:, :, 0], 2048, nperseg=1024, axis=1)[1].mean(axis=0) * 1024
    assert spectrum[40:230].mean() == pytest.approx(0.25, rel=0.02)
    assert spectrum[270:500].mean() == pytest.approx(1, rel=0.02)


def test_mixed_noise_keeps_filters_with_their_windows():
    noise = FileNoise([stretch(5000)], 100)
    white = GaussianNoise([TAPS[1:], TAPS[1:]], ("H1", "L1"), 100, Whitening())
    mixed = MixedNoise(noise, white)
    windows, filters = mixed.draw(np.random.default_rng(0), 400)
    from_files = np.all(np.diff(windows[:, :, 0], axis=1) == 1, axis=1)
    assert 0.4 < from_files.mean() < 0.6
    assert np.all(filters[from_files] == 0)
    assert set(filters[~from_files].ravel()) == {1, 2}
    assert [t[0] for t in mixed.taps[0]] == [0, 1, 2]


def test_a_share_of_noise_is_recoloured_and_shown_as_it_was():
    one, other = stretch(5000), stretch(5000, gps_start=9000.0)
    plain, recoloured = (
        FileNoise([one, other], 100, share, spectra) for share, spectra in ((0, None), (0.4, [TAPS[1:]] * 2))
    )
    windows, filters = plain.draw(np.random.default_rng(3), 2000)
    again, changed = recoloured.draw(np.random.default_rng(3), 2000)
    np.testing.assert_array_equal(again, windows)
    assert [len(taps) for taps in recoloured.taps] == [4, 4]
    np.testing.assert_allclose((changed != filters).mean(axis=0), 0.4, atol=0.04)
    assert set(changed[changed != filters]) == {2, 3} and set(changed[changed == filters]) == {0, 1}
    # Each detector for itself.
    assert abs(np.corrcoef((changed != filters).T)[0, 1]) < 0.08
    twice = recoloured.draw(np.random.default_rng(3), 2000)[1]
    np.testing.assert_array_equal(twice, changed)
    # Without spectra of its own: those of the stretches.
    assert set(FileNoise([one, other], 100, 1.0).draw(np.random.default_rng(0), 50)[1].ravel()) == {0, 1}
    with pytest.raises(InputError, match="one noise spectrum alone"):
        FileNoise([one], 100, 0.5)


def test_recoloured_noise_whitened_anew_is_what_it_was():
    """What `FileNoise` relies on, done the long way with noise of a line and two slopes."""
    settings, rng = Whitening(filter_seconds=1.0), np.random.default_rng(0)
    frequency = np.fft.rfftfreq(64 * 2048, 1 / 2048)
    fine = np.fft.rfftfreq(settings.filter_samples, 1 / 2048)

    def density(f, slope, line):
        return 1e-46 * (1 + (100 / np.maximum(f, 10)) ** slope + 30 * np.exp(-(((f - line) / 4) ** 2)))

    one, two = (2.0, 300.0), (4.0, 500.0)
    white = np.fft.rfft(rng.normal(size=64 * 2048))
    strain = [np.fft.irfft(white * np.sqrt(density(frequency, *own) * 1024)) for own in (one, two)]
    whitened = [
        np.convolve(own, whitening_filter(density(fine, *spectrum), settings), "valid")
        for own, spectrum in zip(strain, (one, two), strict=True)
    ]
    assert np.std(whitened[1]) == pytest.approx(1, abs=0.02)
    assert np.std(whitened[1] - whitened[0]) < 0.05


def measured(path, gps_start, seconds):
    with mlgwsc1_file(path, ("H1", "L1"), 2048, compress=False) as add:
        for number, detector in enumerate(("H1", "L1")):
            add(detector, gps_start, np.random.default_rng(number).normal(size=seconds * 2048) * 1e-21)
    return find_segments(path)


def test_catalogue_events_and_other_times_are_no_noise(tmp_path):
    (event,) = [time for time, name in catalogue_events() if name == "GW150914"]
    headers = measured(tmp_path / "strain.hdf", int(event) - 30, 60)
    whole, _ = read_noise("folder", headers, ("H1", "L1"), Whitening(), 2048)
    stretches = without_known_events(whole, 2048, "folder", [event + 15])
    left = [(s.gps_start - event, s.gps_start + s.seconds - event) for s in stretches]
    expected = [(-28, -4), (4, 11), (19, 28)]
    np.testing.assert_allclose(left, expected, atol=1)
    assert all(stop <= begin - 7.999 for (_, stop), (begin, _) in itertools.pairwise(left))
    with pytest.raises(
        InputError, match="folder: has no noise as long as a window of 61440 samples beside 4 s around GW150914"
    ):
        without_known_events(whole, 30 * 2048, "folder")
