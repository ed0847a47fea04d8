import shutil

import numpy as np
import pytest

from keras_gw_resnet import InputError
from keras_gw_resnet.simulation.bank import is_bank, load_bank, save_bank
from keras_gw_resnet.simulation.populations import get_population
from keras_gw_resnet.simulation.waveforms import make_bank, polarizations
from tests.conftest import run_command


def test_bank_holds_the_end_of_pycbcs_waveforms(small_bank):
    assert small_bank.hplus.shape == (24, 4096)
    assert small_bank.merger_sample == 4096 - 512
    population = get_population("set3")
    for i in (0, 7):
        parameters = {name: values[i] for name, values in small_bank.parameters.items()}
        hplus, hcross = polarizations(parameters, population, 2048)
        merger = round(-float(hplus.start_time) * 2048)
        for stored, series in ((small_bank.hplus[i], hplus), (small_bank.hcross[i], hcross)):
            count = min(merger, 3584)
            np.testing.assert_allclose(
                stored[3584 - count : 3584], series.numpy()[merger - count : merger], rtol=1e-6, atol=1e-28
            )
        power = small_bank.hplus[i] ** 2 + small_bank.hcross[i] ** 2
        assert abs(int(np.argmax(power)) - small_bank.merger_sample) < 40


def test_bank_depends_on_the_seed_alone(small_bank):
    again = make_bank("set3", 24, seed=5, processes=1)
    assert again.fingerprint() == small_bank.fingerprint()
    assert make_bank("set3", 2, seed=6, processes=1).fingerprint() != small_bank.subset(0, 2).fingerprint()


def test_bank_survives_the_disk(small_bank, tmp_path):
    save_bank(small_bank, tmp_path / "b.hdf")
    loaded = load_bank(tmp_path / "b.hdf")
    assert loaded.fingerprint() == small_bank.fingerprint()
    assert loaded.population == "set3"
    assert is_bank(tmp_path / "b.hdf")
    for name, geometry in small_bank.detectors.items():
        np.testing.assert_array_equal(loaded.detectors[name].response, geometry.response)
    for name, values in small_bank.parameters.items():
        np.testing.assert_array_equal(loaded.parameters[name], values)


def test_bad_banks(tmp_path, small_data):
    data = (small_data / "bank.hdf").read_bytes()
    (tmp_path / "cut.hdf").write_bytes(data[: len(data) // 2])
    for path, message in {
        tmp_path / "missing.hdf": "no such file",
        tmp_path / "cut.hdf": "damaged",
        small_data / "noise.hdf": "no waveform bank",
    }.items():
        with pytest.raises(InputError, match=message):
            load_bank(path)
    assert is_bank(small_data / "bank.hdf")
    assert not is_bank(small_data / "noise.hdf")
    with pytest.raises(InputError, match=r"cut\.hdf: is no HDF5 file, or a truncated one"):
        is_bank(tmp_path / "cut.hdf")


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("hplus", np.ones(5, np.float32), "do not fit together"),
        ("hcross", np.ones((24, 7), np.float32), "do not fit together"),
        ("hplus", np.full((24, 4096), np.nan, np.float32), "waveform 0 is empty or not finite"),
        ("detectors/H1/response", np.ones(3), "do not fit together"),
        ("merger_sample", 10**9, "do not fit together"),
        ("sample_rate", "x", "damaged"),
    ],
)
def test_malformed_banks_are_named(tmp_path, small_data, part, value, message):
    import h5py

    path = tmp_path / "bad.hdf"
    shutil.copy(small_data / "bank.hdf", path)
    with h5py.File(path, "r+") as file:
        if part in file.attrs:
            file.attrs[part] = value
        else:
            del file[part]
            file[part] = value
    with pytest.raises(InputError, match=message) as error:
        load_bank(path)
    assert str(error.value).startswith(str(path))


def test_simulated_noise_is_reproducible_and_has_the_wanted_spectrum(tmp_path):
    from keras_gw_resnet.simulation.psds import load_psd
    from keras_gw_resnet.strain.conditioning import NoiseSpectra, Whitening
    from keras_gw_resnet.strain.files import find_segments, read_segment

    options = ("simulate", "noise", "--segments", 1, "--segment-seconds", 128, "--seed", 4)
    for name in ("a", "b"):
        assert run_command("-m", "keras_gw_resnet", *options, "--output", tmp_path / f"{name}.hdf").returncode == 0
    one, two = (read_segment(find_segments(tmp_path / f"{n}.hdf")[0]).strain for n in "ab")
    np.testing.assert_array_equal(one, two)
    psd = load_psd("aLIGOZeroDetHighPower", 0.25, 1024)
    ratio = NoiseSpectra(one, Whitening()).near(0)[80:4000] / psd[80:4000]
    assert ratio.mean() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("line", ["approximant: Foo", "approximant: TaylorF2", "modes: [[9, 9]]", "f_lower: 3000"])
def test_populations_that_have_no_waveforms_are_named(tmp_path, line, capfd):
    path = tmp_path / "odd.yaml"
    path.write_text(f"base: set3\n{line}\n")
    with pytest.raises(InputError, match=r"odd\.yaml: PyCBC makes no waveform"):
        make_bank(str(path), 2, seed=0)
    assert capfd.readouterr().err == ""


def test_more_waveforms_than_memory_holds_are_refused_at_once():
    with pytest.raises(InputError, match=r"--number 1000000000 waveforms of 2 s: takes .* GB of memory"):
        make_bank("set1", 10**9, seed=1)


SCRIPT = """
import os
from keras_gw_resnet import InputError
from keras_gw_resnet.simulation.waveforms import make_bank
from keras_gw_resnet.simulation.workers import worker_pool
print("run", make_bank("set1", 2, seed=6, processes=1).hplus.shape)
try:
    with worker_pool(1) as pool:
        pool.submit(os._exit, 1).result()
except InputError as error:
    print(error)
"""


def test_a_script_that_is_not_guarded_runs_once(tmp_path):
    """What a spawned process runs first is the file of the script that asked for it."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    result = run_command(script)
    assert result.returncode == 0, result.stderr
    ran, ended = result.stdout.splitlines()
    assert ran == "run (2, 4096)"
    assert "ended from outside" in ended
