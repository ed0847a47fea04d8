"""Every gated place of a search is listed, once: in what is found, in its files and in its report."""

import json

import h5py
import numpy as np
import pytest

from keras_gw_resnet import Detector, cli
from keras_gw_resnet.search import search as module
from keras_gw_resnet.search.results import join_found
from keras_gw_resnet.search.search import search
from keras_gw_resnet.strain import stretches
from keras_gw_resnet.strain.conditioning import Whitening
from keras_gw_resnet.strain.files import find_segments
from keras_gw_resnet.strain.gating import gate_columns, join_gates
from keras_gw_resnet.strain.stretches import whitened_chunks, whitened_stretches
from keras_gw_resnet.strain.writers import mlgwsc1_file
from tests.conftest import shared

START, RATE = 1_000_000_007, 2048
# Chunks of 71 s at most begin every 59 s and share 5 s: these lie on the end of the first, on the beginning of the third, and within one.
GLITCHES = {"H1": [(64.0, 400), (180.0, 350)], "L1": [(118.0, 500), (118.6, 600)]}


@pytest.fixture(scope="module")
def network(small_run):
    return Detector.load(small_run)


def write(path, seconds, every):
    """Write white noise with glitches, {detector: list of (seconds from the start, size)}; return the path."""
    time, rng = np.arange(seconds * RATE) / RATE, np.random.default_rng(0)
    with mlgwsc1_file(path, list(every), RATE, compress=False) as add:
        for detector, glitches in every.items():
            noise = rng.normal(size=len(time))
            for at, deviations in glitches:
                noise += deviations * np.exp(-(((time - at) * 60) ** 2)) * np.cos(2 * np.pi * 90 * (time - at)) / 5
            add(detector, START, noise * 1e-21)
    return path


def test_every_gate_is_listed_once_however_the_strain_is_read(network, tmp_path, monkeypatch):
    strain = write(tmp_path / "loud.hdf", 240, GLITCHES)
    (whole,) = search([network], [strain])
    column, start, stop, peak = whole.gates.T
    # The two glitches of L1 are in one gate.
    assert column.tolist() == [0, 1, 0]
    for at, first, last in zip((64.0, 118.3, 180.0), start, stop, strict=True):
        assert first < START + at - 0.5 and START + at + 0.5 < last < first + 3
    assert np.sum(stop - start) == pytest.approx(whole.coverage.gated, abs=1 / RATE)
    assert np.all(peak > 50) and np.argmin(peak) == 2
    monkeypatch.setattr(stretches, "CHUNK_SECONDS", 71)
    chunks = list(whitened_chunks(find_segments([strain]), network.detectors, network.whitening, window_samples=2048))
    assert sum(len(chunk.gates) for chunk in chunks) > 3  # some lie in two
    journal, seen, searched = tmp_path / ".journal", [], module._search_chunk

    def stop_at_the_third(*given):
        seen.append(searched(*given))
        if len(seen) == 3:
            raise KeyboardInterrupt
        return seen[-1]

    monkeypatch.setattr(module, "_search_chunk", stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        search([network], [strain], journal=journal)
    (parts,) = search([network], [strain], journal=journal)
    np.testing.assert_array_equal(parts.gates[:, :3], whole.gates[:, :3])
    np.testing.assert_allclose(parts.gates[:, 3], peak, rtol=1e-6)
    # Joined in any order, and in steps: the first three, and twice the fourth.
    first = join_found(seen[:3], 2, 1)
    np.testing.assert_array_equal(join_found([*seen[3:], first, seen[3]], 2, 1).gates, parts.gates)


def test_gates_that_meet_are_one_and_those_of_other_detectors_are_not():
    rows = [[0, 10.0, 11.0, 60.0], [1, 10.5, 11.5, 70.0], [0, 11.0, 12.0, 80.0], [0, 12.5, 13.0, 55.0]]
    expected = [[0, 10.0, 12.0, 80.0], [1, 10.5, 11.5, 70.0], [0, 12.5, 13.0, 55.0]]
    assert join_gates([np.array(rows[::-1])]).tolist() == expected
    assert join_gates([np.array([row]) for row in rows]).tolist() == expected
    assert join_gates([]).shape == (0, 4)
    assert gate_columns(join_gates([]), ("H1", "L1"))["detector"].tolist() == []


def test_the_peak_of_a_real_transient_is_its_height_without_a_gate():
    headers = find_segments([shared("real", "GW191204_171526.hdf")])
    (chunk,) = whitened_chunks(headers, ("H1", "L1"), Whitening())
    ((column, start, stop, peak),) = chunk.gates
    (stretch,) = whitened_stretches(headers, ("H1", "L1"), Whitening(gate=0.0))
    assert column == 0 and stop - start == pytest.approx(1.03, abs=0.01)
    assert peak == pytest.approx(np.abs(stretch.strain[:, 0]).max(), rel=0.2)


def test_a_search_lists_its_gates_in_its_files_and_its_report(small_run, tmp_path, capsys):
    strain = write(tmp_path / "loud.hdf", 60, {"H1": [(20.0, 400), (40.0, 300)], "L1": [(30.0, 300)]})
    out, page = tmp_path / "events.hdf", tmp_path / "report.html"
    given = ("--threshold", "-30", "--slides", "100000", "--output", out, "--report", page)
    assert cli.main(["search", str(small_run), str(strain), *map(str, given)]) == 0
    said = capsys.readouterr().out
    assert f"beyond 50 sigma, listed in {out}, gates; " in said and said.count("sigma") == 1
    assert "NOTE: of 100000 slides 27 fit into the longest stretch" in said
    with h5py.File(out) as file:
        gates = {name: file["gates"][name][()] for name in file["gates"]}
    assert gates["detector"].tolist() == [b"H1", b"L1", b"H1"]
    np.testing.assert_array_equal(gates["gps_stop"] - gates["gps_start"], gates["seconds"])
    listed = json.loads(out.with_suffix(".json").read_text())["gates"]
    assert [row["peak"] for row in listed] == gates["peak"].tolist()
    text = page.read_text()
    assert "Gated strain (3)" in text and all(f"<td>{start:.3f}</td>" in text for start in gates["gps_start"])
