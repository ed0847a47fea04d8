from dataclasses import replace

import numpy as np
import pytest

from keras_gw_resnet import InputError
from keras_gw_resnet.simulation.glitch_bank import load_glitches, save_glitches
from keras_gw_resnet.simulation.glitch_import import CutOptions, import_arrays
from tests.conftest import run_command, write_mlgwsc
from tests.simulation.test_glitch_bank import GLITCHES, bank_of, bursts


def test_arrays_with_their_labels(tmp_path):
    np.savez(
        tmp_path / "mine.npz",
        strain=bursts(3),
        label=np.array(["a", "b", "b"]),
        detector=np.array(["H1", "H1", "V1"]),
        sample_rate=2048,
    )
    out = tmp_path / "bank.hdf"
    result = run_command(*GLITCHES, "import", tmp_path / "mine.npz", "--seconds", 1, "--output", out)
    assert result.returncode == 0, result.stderr
    bank = load_glitches(out)
    assert bank.detector.tolist() == ["H1", "H1", "V1"] and bank.label.tolist() == ["a", "b", "b"]
    np.testing.assert_allclose(bank.snr, 10, rtol=1e-3)
    assert bank.strain.shape == (3, 2048) and set(bank.reconstruction) == {"clean"}
    with pytest.raises(InputError, match="no glitches of L1"):
        bank.require(2048, ("H1", "L1"), "x")


def test_arrays_named_by_detector(tmp_path):
    np.savez(tmp_path / "mine.npz", H1=bursts(2), L1=bursts(1), sample_rate=2048)
    bank, left_out = import_arrays(tmp_path / "mine.npz", CutOptions(1.0), label="Blip")
    assert bank.detector.tolist() == ["H1", "H1", "L1"] and set(bank.label) == {"Blip"} and not left_out
    np.savez(tmp_path / "odd.npz", hanford=bursts(1), sample_rate=2048)
    with pytest.raises(
        InputError, match=r"odd\.npz: has hanford, sample_rate; expected an array \(n, samples\) for each"
    ):
        import_arrays(tmp_path / "odd.npz", CutOptions())
    np.savez(tmp_path / "flat.npz", H1=bursts(1)[0], sample_rate=2048)
    with pytest.raises(InputError, match=r"flat\.npz: glitches of H1 have shape"):
        import_arrays(tmp_path / "flat.npz", CutOptions())


def test_whole_cuts_of_a_bank_are_denoised_when_it_is_imported(tmp_path):
    strain = np.random.default_rng(3).normal(size=(3, 8192))
    strain[:2] += np.pad(bursts(2, snr=20.0), ((0, 0), (3072, 3072)))
    bank = bank_of(
        strain, snr=np.array([20.0, 20.0, 9.0]), gps=np.array([5.0, 6.0, 7.0]), reconstruction=np.full(3, "whole")
    )
    save_glitches(bank, tmp_path / "whole.hdf")
    same, left_out = import_arrays(tmp_path / "whole.hdf", CutOptions(reconstruct="whole"))
    assert same.fingerprint() == bank.fingerprint() and not left_out
    denoised, left_out = import_arrays(tmp_path / "whole.hdf", CutOptions())
    assert left_out == 1 and set(denoised.reconstruction) == {"denoised"}
    np.testing.assert_allclose(denoised.gps, [5, 6], atol=0.02)
    np.testing.assert_allclose(denoised.snr, 20, rtol=0.2)
    assert np.all(np.linalg.norm(denoised.strain - strain[:2], axis=1) > 60), "the noise is still in the cuts"
    save_glitches(replace(bank, reconstruction=np.array(["denoised", "clean", "whole"])), tmp_path / "faint.hdf")
    kept, left_out = import_arrays(tmp_path / "faint.hdf", CutOptions())
    assert left_out == 1 and list(kept.reconstruction) == ["denoised", "clean"], (
        "what has no whole cut goes with the faint one"
    )


def test_a_strain_file_is_no_file_of_glitches(tmp_path):
    path = write_mlgwsc(tmp_path / "strain.hdf", ["H1", "L1"], seconds=4)
    with pytest.raises(
        InputError, match=r"strain\.hdf: H1 has no array 'strain' of glitches; strain files are given with"
    ):
        import_arrays(path, CutOptions())
