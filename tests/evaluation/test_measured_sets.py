"""Sets in noise that is not Gaussian, through the real entry point."""

import json

import h5py
import numpy as np
import pytest

from keras_gw_resnet import InputError
from keras_gw_resnet.evaluation.injection_set import open_set
from keras_gw_resnet.evaluation.noise_pieces import read_noise_pieces
from keras_gw_resnet.strain.writers import mlgwsc1_file
from tests.conftest import ROOT, run_command

QUIET = 1_150_000_000  # no event of the catalogue within hours


def write_noise(path, gps_start, seconds):
    """White noise of two detectors that no simulation signs."""
    with mlgwsc1_file(path, ("H1", "L1"), 2048, compress=False) as add:
        for number, detector in enumerate(("H1", "L1")):
            add(detector, gps_start, np.random.default_rng(number).normal(size=seconds * 2048) * 1e-21)
    return path


def test_a_network_is_measured_on_a_set_in_measured_noise(small_run, tmp_path):
    noise, out = write_noise(tmp_path / "noise.hdf", QUIET, 140), tmp_path / "out"
    made = ("--set", "set3", "--noise", noise, "--duration", 120, "--leave-out", QUIET + 3, "--slides", 1)
    result = run_command(ROOT / "evaluate.py", small_run, *made, "--output", out, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    (folder,) = (tmp_path / "runs" / "sets").iterdir()
    pieces = read_noise_pieces(folder / "background.hdf", ("H1", "L1"))
    assert pieces.seconds == 120
    for detector, distinct in pieces.distinct.items():
        assert f"{detector}: {distinct} s of strain in" in result.stdout and distinct <= 140 - 7
    report = json.loads((out / "sensitivity.json").read_text())
    assert report["data"]["noise"] == report["networks"][0]["noise"] == pieces.to_dict()
    assert (report["data"]["population"], report["data"]["published"]) == ("set3", "set4")
    shown = [row for row in report["networks"][0]["sensitivity"] if row["threshold"] is not None]
    assert shown and all(row["threshold_error"] >= 0 for row in shown)
    opened = open_set({n: folder / f"{n}.hdf" for n in ("foreground", "background", "injections")}, ("H1", "L1"))
    assert opened.kind == "set3 in measured noise" and opened.noise == pieces.to_dict()
    trained = {"training": {"data": {"gps_intervals": [[QUIET, QUIET + 1000, "measured"]]}}}
    assert opened.seen_by(trained) == [f"it was trained on {pieces.distinct['H1']} s of this noise"]
    assert opened.seen_by({}) == []


def test_pieces_are_those_of_the_file(tmp_path):
    sources = {"H1": (10, 500, 10), "L1": (500, 900, 900)}
    with h5py.File(tmp_path / "b.hdf", "w") as file:
        file.attrs.update(
            noise="measured", **{f"noise_{what}_{d}": 90 for what in ("seconds", "uses") for d in sources}
        )
        for detector, own in sources.items():
            for start, source in zip((3000, 2000, 1000), own, strict=True):
                dataset = file.create_dataset(f"{detector}/{start}", data=np.zeros(4))
                dataset.attrs.update(start_time=float(start), source_start=float(source), source_stop=source + 45.0)
    pieces = read_noise_pieces(tmp_path / "b.hdf", ("H1", "L1"))
    assert pieces.piece.tolist() == [[0, 1], [1, 1], [0, 0]] and pieces.start.tolist() == [1000, 2000, 3000]
    assert pieces.sources == [[10, 55, "measured"], [500, 545, "measured"]]
    assert pieces.to_dict()["pieces"] == [2, 2] and pieces.lines()[0].startswith("H1: 90 s of strain in 2 pieces")


def test_measured_strain_with_events_is_no_background(tmp_path):
    foreground, background = (write_noise(tmp_path / f"{name}.hdf", 1126259442, 40) for name in ("f", "b"))
    paths = {"foreground": foreground, "background": background, "injections": tmp_path / "none.hdf"}
    with pytest.raises(InputError, match=r"b\.hdf: is to be noise and holds GW150914; cut 4 s around out"):
        open_set(paths, ("H1", "L1"))
