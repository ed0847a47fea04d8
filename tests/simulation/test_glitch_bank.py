import csv

import h5py
import numpy as np
import pytest
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_gw_resnet import InputError
from keras_gw_resnet.simulation.glitch_bank import GlitchBank, SnrLaw, load_glitches, save_glitches
from keras_gw_resnet.simulation.glitch_import import CutOptions, Cutter
from keras_gw_resnet.simulation.glitch_tables import import_table
from keras_gw_resnet.simulation.psds import load_psd
from keras_gw_resnet.simulation.set_glitches import SetGlitches
from keras_gw_resnet.simulation.transients import extract, find_transients
from keras_gw_resnet.strain.conditioning import Whitening, whitening_filter
from keras_gw_resnet.strain.files import find_segments
from keras_gw_resnet.strain.stretches import whitened_stretches
from tests.conftest import assert_refused, run_command, run_commands, shared, write_mlgwsc

GLITCHES = ("-m", "keras_gw_resnet", "glitches")


def bank_of(strain, **columns):
    number = len(strain)
    given = {
        "detector": np.array(["H1", "L1"] * number)[:number],
        "label": np.full(number, "Blip"),
        "snr": np.linalg.norm(strain, axis=1).astype(float),
        "gps": np.full(number, np.nan),
        "reconstruction": np.full(number, "denoised"),
        "source": np.full(number, "a test"),
        **columns,
    }
    return GlitchBank(strain.astype(np.float32), sample_rate=2048, **given)


def bursts(number, samples=2048, snr=10.0):
    time = (np.arange(samples) - samples // 2) / 2048
    shape = np.exp(-((time * 60) ** 2)) * np.cos(2 * np.pi * 80 * time)
    return np.tile(shape / np.linalg.norm(shape) * snr, (number, 1))


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 5), st.integers(2, 400), st.text(max_size=8).filter(lambda t: "\0" not in t), st.integers(0, 99))
def test_a_bank_is_read_as_it_was_written(tmp_path_factory, number, samples, label, seed):
    rng = np.random.default_rng(seed)
    bank = bank_of(rng.normal(size=(number, samples)) + 1e-3, label=np.full(number, label))
    path = tmp_path_factory.mktemp("bank") / "glitches.hdf"
    save_glitches(bank, path)
    again = load_glitches(path)
    assert again.fingerprint() == bank.fingerprint() and again.sample_rate == 2048 and again.whitened
    for name in ("strain", "detector", "label", "snr", "gps", "reconstruction", "source"):
        np.testing.assert_array_equal(getattr(again, name), getattr(bank, name))


@given(st.floats(0.5, 20), st.floats(1.1, 5), st.floats(1.5, 50))
def test_snr_falls_by_its_power_law(low, exponent, ratio):
    law = SnrLaw(low, exponent, low * ratio)
    snr = law.draw(np.random.default_rng(0), 4000)
    assert np.all((snr >= low * 0.999) & (snr <= law.high * 1.001))
    median = (0.5 * (low ** (1 - exponent) + law.high ** (1 - exponent))) ** (1 / (1 - exponent))
    assert np.mean(snr < median) == pytest.approx(0.5, abs=0.04)


def test_draw_gives_glitches_of_the_detector_as_loud_as_measured():
    strain = np.concatenate([bursts(2, snr=9), bursts(2, snr=1)])
    bank = bank_of(strain, snr=np.array([9.0, 9.0, np.nan, np.nan]))
    rng = np.random.default_rng(0)
    windows, snr, index = bank.draw(rng, 200, 4096, "L1", middle=np.full(200, 2048))
    assert set(index) == {1, 3}
    np.testing.assert_allclose(np.linalg.norm(windows, axis=1), snr, rtol=1e-4)
    assert np.all(snr[index == 1] == 9) and np.std(snr[index == 3]) > 1
    windows, snr, _ = bank.draw(rng, 300, 4096, "H1", middle=np.full(300, 2048), snr=SnrLaw(20, 3, 30))
    assert np.all((snr >= 20) & (snr <= 30))
    np.testing.assert_allclose(np.linalg.norm(windows, axis=1), snr, rtol=1e-4)
    windows, snr, index = bank.draw(rng, 300, 2048, "H1", simulated_share=0.5)
    assert 0.35 < np.mean(index < 0) < 0.65
    assert {name.split()[0] for name in bank.names(index)} == {"Blip", "simulated"}
    whole = bank_of(strain, reconstruction=np.full(4, "whole"))
    windows, _, index = whole.draw(rng, 5, 2048, "H1", middle=np.full(5, 1024), snr=SnrLaw(20, 3, 30))
    np.testing.assert_array_equal(windows, whole.strain[index])


def test_a_transient_is_told_from_its_noise():
    rng = np.random.default_rng(1)
    recovered = []
    for _ in range(10):
        shape = np.pad(bursts(1, snr=15.0)[0], 8192)
        found = extract(shape + rng.normal(size=len(shape)), 2048)
        recovered.append(found.snr)
        assert abs(found.sample - len(shape) // 2) < 20 and 60 < found.frequency < 100 and found.duration < 0.1
        assert np.linalg.norm(found.strain - shape) < 6
    assert np.mean(recovered) == pytest.approx(15, rel=0.1)
    noise = rng.normal(size=2048 * 300)
    assert len(find_transients(noise, 2048)) < 8
    noise[100000:102048] += bursts(1, snr=12.0)[0]
    assert np.any(np.abs(find_transients(noise, 2048) - 101024) < 100)


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    out = tmp_path_factory.mktemp("glitches") / "bank.hdf"
    files = [shared("glitches", name) for name in ("gravityspy-o3a.hdf", "blips-o2.hdf")]
    result = run_command(*GLITCHES, "import", *files, "--output", out)
    assert result.returncode == 0, result.stderr
    assert "526 glitches" in result.stdout and "left out: 4" in result.stdout
    return out


def test_the_shared_glitches_are_imported_and_drawn(imported, tmp_path):
    bank = load_glitches(imported)
    assert set(bank.label) == {"Blip", "Tomte", "Light_Modulation", "Scattered_Light", "Whistle"}
    assert np.isnan(bank.snr).sum() == 500 and set(bank.reconstruction) == {"clean", "denoised"}
    known = np.isfinite(bank.snr)
    assert np.all(bank.snr[known] > 7)
    norm = np.linalg.norm(bank.strain, axis=1)
    np.testing.assert_allclose(norm[~known], 1, atol=0.02)
    # Noise in the same pixels adds to the norm and not to the SNR.
    assert np.all((norm[known] / bank.snr[known] > 0.9) & (norm[known] / bank.snr[known] < 1.35))
    picture = tmp_path / "glitches.png"
    result = run_command(*GLITCHES, "show", imported, "--number", 4, "--label", "Tomte", "--output", picture)
    assert result.returncode == 0, result.stderr
    assert picture.stat().st_size > 20_000


@pytest.fixture(scope="module")
def glitchy(tmp_path_factory):
    """White noise of 120 s with a burst of L1 at 30 s, one of both at 60 s and one of H1 at 90 s."""
    from keras_gw_resnet.strain.writers import mlgwsc1_file

    path, rng = tmp_path_factory.mktemp("strain") / "strain.hdf", np.random.default_rng(0)
    with mlgwsc1_file(path, ("H1", "L1"), 2048, compress=False) as add:
        for detector, times in (("H1", (60, 90)), ("L1", (30, 60))):
            strain = rng.normal(size=120 * 2048)
            for at in times:
                strain[at * 2048 - 1024 : at * 2048 + 1024] += bursts(1, snr=20.0)[0]
            add(detector, 1_150_000_000, strain * 1e-21)
    return path


def test_lone_transients_are_mined(glitchy, tmp_path):
    out = tmp_path / "mined.hdf"
    result = run_command(*GLITCHES, "mine", glitchy, "--output", out)
    assert result.returncode == 0, result.stderr
    assert "2 coincident" in result.stdout
    bank = load_glitches(out)
    assert sorted(zip(bank.detector, np.round(bank.gps - 1_150_000_000), strict=True)) == [("H1", 90), ("L1", 30)]
    assert np.all(np.abs(bank.snr - 20) < 3)
    command = ("mine", glitchy, "--leave-out", 1_150_000_030.5, "--output", tmp_path / "left.hdf")
    result = run_command(*GLITCHES, *command)
    assert result.returncode == 0, result.stderr
    assert load_glitches(tmp_path / "left.hdf").detector.tolist() == ["H1"]


def write_table(path, rows, titles=("GPStime", "ifo", "label", "snr", "confidence")):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([titles, *rows])
    return path


def test_a_gravity_spy_table_is_cut_out_of_strain(glitchy, tmp_path):
    rows = [(1_150_000_090.01, "H1", "Blip", 21, 0.99), (1_150_000_030.0, "L1", "Tomte", 20, 0.95)]
    rows += [(1_150_000_060.0, "L1", "Koi_Fish", 20, 0.3)]
    table = write_table(tmp_path / "table.csv", rows, ("event_time", "ifo", "ml_label", "snr", "ml_confidence"))
    out = tmp_path / "bank.hdf"
    result = run_command(
        *GLITCHES, "import", table, "--strain", glitchy, "--confidence", 0.9, "--output", out, "--reconstruct", "whole"
    )
    assert result.returncode == 0, result.stderr
    bank = load_glitches(out)
    assert sorted(zip(bank.detector, bank.label, bank.snr, strict=True)) == [("H1", "Blip", 21), ("L1", "Tomte", 20)]
    assert set(bank.reconstruction) == {"whole"}
    (stretch,) = whitened_stretches(find_segments([glitchy]), ("H1",), Whitening())
    middle = round((1_150_000_090 - stretch.gps_start) * 2048)
    (own,) = bank.strain[bank.detector == "H1"]
    peak = int(np.argmax(np.abs(own)))
    assert abs(peak - len(own) // 2) < 40
    assert np.abs(own).max() == np.abs(stretch.strain[middle - 100 : middle + 100, 0]).max()


def test_what_a_table_lists_around_a_catalogue_event_is_no_glitch(glitchy, tmp_path, monkeypatch):
    from keras_gw_resnet.strain import catalogue

    monkeypatch.setattr(catalogue, "catalogue_events", lambda: ((1_150_000_030.4, "GW160615"),))
    rows = [(1_150_000_090.01, "H1", "Blip", 21, 0.99), (1_150_000_030.0, "L1", "Chirp", 20, 0.95)]
    headers = find_segments([glitchy])
    bank, left_out = import_table(write_table(tmp_path / "table.csv", rows), headers, CutOptions())
    assert bank.label.tolist() == ["Blip"] and left_out == 1
    with pytest.raises(InputError, match=r"alone\.csv: lists nothing but what lies around catalogue events"):
        import_table(write_table(tmp_path / "alone.csv", rows[1:]), headers, CutOptions())


def test_glitches_in_noise_are_as_loud_as_they_say(imported):
    bank, psd, seconds = load_glitches(imported), "aLIGOZeroDetHighPower", 600
    glitches = SetGlitches(bank, {"L1": 6.0}, 2048, SnrLaw(10, 3, 40))
    strain, untouched = np.zeros(seconds * 2048), np.zeros(64)
    glitches.add(strain, 1_000_000_000, "L1", psd, seed=4)
    glitches.add(untouched, 1_000_000_000, "H1", psd, seed=4)
    assert not untouched.any() and 35 < len(glitches) < 90
    taps = whitening_filter(load_psd(psd, 0.25, 1024), Whitening())
    whitened = scipy.signal.oaconvolve(strain, taps, mode="same")
    times, snr = (np.array([row[at] for row in glitches.made]) for at in (1, 2))
    ratio = []
    for at, own in zip(times - 1_000_000_000, snr, strict=True):
        if np.sum(np.abs(times - 1_000_000_000 - at) < 5) == 1 and 5 < at < seconds - 5:
            ratio.append(np.linalg.norm(whitened[round((at - 2) * 2048) : round((at + 2) * 2048)]) / own)
    assert len(ratio) > 8
    assert np.mean(ratio) == pytest.approx(1, abs=0.05)


@pytest.mark.slow
def test_a_set_with_glitches_lists_them(imported, tmp_path):
    out = tmp_path / "set"
    options = ("--glitches", imported, "--glitch-rate", "L1=20", "--duration", 64, "--processes", 1)
    result = run_command("-m", "keras_gw_resnet", "simulate", "set", *options, "--output", out)
    assert result.returncode == 0, result.stderr
    with h5py.File(out / "glitches.hdf") as file:
        assert set(file["detector"].asstr()[:]) == {"L1"} and len(file["label"]) == len(file["snr"]) > 5
        assert f"{len(file['time'])} glitches of bank.hdf" in result.stdout


def test_glitches_that_cannot_be(glitchy, imported, tmp_path):
    out = tmp_path / "out.hdf"
    good = write_table(tmp_path / "good.csv", [(1_150_000_500, "H1", "Blip", 9, 1)])
    bad = write_table(tmp_path / "bad.csv", [(1, "H1", 9)], ("GPStime", "ifo", "snr"))
    broken = write_table(tmp_path / "broken.csv", [("x", "H1", "Blip", 9, 1)])
    np.save(tmp_path / "plain.npy", bursts(2))
    with h5py.File(imported) as file, h5py.File(tmp_path / "fast.hdf", "w") as other:
        for name in file:
            file.copy(name, other)
        other.attrs.update({**dict(file.attrs), "sample_rate": 4096})
    cases = (
        (("import", good, "--output", out), ("give --strain",)),
        (("import", good, "--strain", glitchy, "--output", out), ("1 of 1 glitches lie outside", "GPS 1150000500")),
        (("import", bad, "--strain", glitchy, "--output", out), ("lacks the column label or ml_label",)),
        (("import", broken, "--strain", glitchy, "--output", out), ("line 2 cannot be read",)),
        (("import", tmp_path / "none.npy", "--output", out), ("no such file",)),
        (("import", tmp_path / "plain.npy", "--output", out), ("give --detector",)),
        (("import", tmp_path / "plain.npy", "--detector", "H1", "--output", out), ("give --sample-rate",)),
        (("import", imported, tmp_path / "fast.hdf", "--output", out), ("different sample rates",)),
        (("show", glitchy, "--output", tmp_path / "x.png"), ("is no glitch bank",)),
        (("show", imported, "--label", "Cat", "--output", tmp_path / "x.png"), ("has no Cat",)),
        (("mine", glitchy, "--snr", 900, "--output", out), (glitchy.name, "no glitch of SNR 900")),
    )
    results = run_commands([("glitches", *command) for command, _ in cases])
    sets = (
        (("--glitches", tmp_path / "fast.hdf"), ("sampled at 4096 Hz; expected 2048 Hz",)),
        (("--glitches", imported, "--detectors", "H1", "V1", "--glitch-rate", "V1=1"), ("has no glitches of V1",)),
        (("--glitches", imported, "--glitch-rate", "K1=1"), ("names K1",)),
        (("--glitches", imported, "--glitch-rate", "H1=x"), ("expected rates a minute",)),
    )
    results += run_commands([("simulate", "set", *options, "--output", out) for options, _ in sets])
    for (_, mentioned), result in zip((*cases, *sets), results, strict=True):
        assert_refused(result, *mentioned)
    assert not out.exists()


def test_gated_places_are_told(tmp_path, capsys):
    from keras_gw_resnet import cli

    path = write_mlgwsc(tmp_path / "loud.hdf", ["H1", "L1"], seconds=64)
    with h5py.File(path, "a") as file:
        (strain,) = file["H1"].values()
        values = strain[()]
        values[len(values) // 2] += 1e4 * np.std(values)
        strain[...] = values
        start = strain.attrs["start_time"]
    table = write_table(tmp_path / "table.csv", [(start + 32, "H1", "Koi_Fish", 900, 1)])
    out = tmp_path / "bank.hdf"
    assert cli.main(["glitches", "import", str(table), "--strain", str(path), "--output", str(out)]) == 2
    assert "no glitch can be cut: 0 do not stand out" in (error := capsys.readouterr().err) and "and 1 gated" in error
    assert not out.exists()


def test_what_is_found_within_a_gate_is_no_glitch():
    rng, rate = np.random.default_rng(0), 2048
    strain, time = rng.normal(size=12 * rate), np.arange(12 * rate) / rate
    strain += 12 * np.exp(-(((time - 6.4) / 0.02) ** 2)) * np.sin(2 * np.pi * 100 * time)
    for gates, cut, gated in (((), 1, 0), ([(106.0, 106.3)], 0, 1), ([(104.0, 105.0)], 1, 0)):
        cutter = Cutter(rate, CutOptions())
        cutter.add(strain, detector="H1", label="x", source="x", gps=100.0, middle=5.6 * rate, gates=gates)
        assert (cutter.found, cutter.gated) == (cut, gated)


def test_strain_too_short_to_mine_is_named(tmp_path, capsys):
    from keras_gw_resnet import cli

    path = write_mlgwsc(tmp_path / "short.hdf", ["H1", "L1"], seconds=7)
    assert cli.main(["glitches", "mine", str(path), "--output", str(tmp_path / "bank.hdf")]) == 2
    assert "short.hdf: 7 s of coincident strain" in capsys.readouterr().err
    assert not (tmp_path / "bank.hdf").exists()
