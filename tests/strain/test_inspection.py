import numpy as np
import pytest

from keras_gw_resnet.strain.files import find_segments
from keras_gw_resnet.strain.inspection import inspect_detector
from keras_gw_resnet.strain.writers import mlgwsc1_file
from tests.conftest import assert_refused, run_command

INSPECT = ("-m", "keras_gw_resnet", "inspect")


@pytest.fixture(scope="module")
def strain_file(tmp_path_factory):
    """A hundred seconds of white noise of known level with three glitches and a gap."""
    path = tmp_path_factory.mktemp("inspect") / "strain.hdf"
    strain = np.random.default_rng(0).normal(size=100 * 2048) * 1e-21
    for second in (20, 50.0, 50.1, 80):
        strain[round(second * 2048)] += 5e-20
    strain[60 * 2048 : 65 * 2048] = np.nan
    with mlgwsc1_file(path, ["H1", "L1"], 2048) as add:
        add("H1", 1000, strain)
        add("L1", 1000, strain[: 10 * 2048])
    return path


def test_what_is_in_a_file_is_found(strain_file):
    report = inspect_detector(find_segments(strain_file), "H1")
    assert (report.given, report.valid) == (100, 95)
    assert report.whitened == pytest.approx(95 - 8, abs=0.01)
    assert report.glitches == 3
    assert report.glitches_per_minute == pytest.approx(60 * 3 / 87, rel=0.01)
    # White noise of variance s^2 has the one-sided density s^2 / (rate / 2).
    assert np.median(report.asd[100:4000]) == pytest.approx(1e-21 / np.sqrt(1024), rel=0.05)
    loudest = np.sort(report.time[np.argsort(report.envelope)[-3:]])
    np.testing.assert_allclose(loudest, [1020, 1050, 1080], atol=0.26)


def test_too_little_strain_has_no_spectrum(strain_file):
    report = inspect_detector(find_segments(strain_file), "L1")
    assert report.given == 10
    assert np.isnan(report.deviation)
    assert np.isnan(report.glitches_per_minute)
    assert np.all(np.isnan(report.asd))


def test_inspect_prints_and_draws(strain_file, tmp_path):
    picture = tmp_path / "strain.png"
    result = run_command(*INSPECT, strain_file, "--plot", picture)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[1][:4] == ["H1", "1000", "100", "2048"]
    assert any(line[:3] == ["H1", "100.0", "95.0"] for line in lines if line)
    assert picture.stat().st_size > 20_000
    assert_refused(run_command(*INSPECT, strain_file, "--plot", picture), "exists already")
    assert_refused(run_command(*INSPECT, tmp_path / "none.hdf"), "none.hdf", "no such file")


def test_inspect_draws_training_examples(small_data, tmp_path):
    picture = tmp_path / "examples.png"
    result = run_command(*INSPECT, small_data, "--examples", 5, "--plot", picture)
    assert result.returncode == 0, result.stderr
    assert picture.stat().st_size > 50_000
    assert_refused(run_command(*INSPECT, small_data, "--examples", 5), "--plot FILE")
