"""Searches and evaluations through their real entry points."""

import csv
import json
import shutil

import h5py
import numpy as np
import pytest

from tests.conftest import ROOT, assert_refused, run_command, run_commands, write_mlgwsc

PACKAGE = ("-m", "keras_gw_resnet")


def test_sensitive_distance_of_a_set(small_run, tmp_path):
    data = tmp_path / "set"
    simulate = ("simulate", "set", "--population", "set1", "--duration", 200, "--seed", 5, "--output", data)
    parts = [
        part for name in ("foreground", "background", "injections") for part in (f"--{name}", data / f"{name}.hdf")
    ]
    out = tmp_path / "sensitivity"
    other = tmp_path / "other"
    shutil.copytree(small_run, other)
    card = json.loads((other / "card.json").read_text())
    (other / "card.json").write_text(json.dumps({**card, "name": "other"}))
    evaluate = ("evaluate", small_run)
    wrong = [*parts[:5], data / "background.hdf", "--output", tmp_path / "x"]
    simulated, result, incomplete, swapped = run_commands(
        [
            simulate,
            (*evaluate, "--compare", other, *parts, "--output", out),
            (*evaluate, *parts[:4]),
            (*evaluate, *wrong),
        ]
    )
    assert simulated.returncode == 0, simulated.stderr
    assert result.returncode == 0, result.stderr
    assert_refused(incomplete, "--foreground, --background and --injections")
    assert_refused(swapped, "background.hdf", "injections")
    assert "background too short" in result.stdout
    report = json.loads((out / "sensitivity.json").read_text())
    assert report["data"]["population"] == "set1"
    one, two = report["networks"]
    assert [one["model"], two["model"]] == ["tiny", "other"]
    assert one["sensitivity"] == two["sensitivity"]
    assert [row["rate"] for row in one["sensitivity"][1:]] == [1000, 100, 10, 1]
    least = one["sensitivity"][0]
    assert least["rate"] == pytest.approx(2592000 / (200 - 5), rel=1e-3)
    assert 0 <= least["found_fraction"] <= 1
    assert least["distance"] is not None
    assert one["scan_difference"] < 1e-3
    assert set(one["found_by"]) == {"mchirp", "chirp_distance", "snr"}
    missed = one["loudest_missed"]
    assert missed[0]["snr"] == max(row["snr"] for row in missed)
    # Found again in the loudness that the population's rules give to the loudest: chirp distances from 130 Mpc.
    assert 3 < missed[0]["snr"] < 40
    assert (out / "sensitivity.png").stat().st_size > 10_000
    assert "<table>" in (out / "report.html").read_text()
    with (out / "sensitivity.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 10
    assert float(rows[0]["distance"]) == least["distance"]
    with h5py.File(out / "tiny-foreground.hdf") as file:
        assert len(file["time"]) > 50
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]
    assert one["slides"] == 0 and not (out / "tiny-slides.hdf").exists()
    with h5py.File(data / "injections.hdf", "a") as file:
        file["tc"][:] += [0.0] + [1e6] * (len(file["tc"]) - 1)
    slid = ("--published", "set3", "--slides", 3)
    some = run_command("evaluate.py", small_run, *parts, "--output", tmp_path / "some", *slid)
    assert some.returncode == 0, some.stderr
    assert "3 time slides" in some.stdout
    (more,) = json.loads((tmp_path / "some" / "sensitivity.json").read_text())["networks"]
    assert more["slides"] == 3
    # The foreground is not slid: its time is the network's.
    assert more["times_real_time"] > 0
    assert more["searched_seconds"]["background"] == pytest.approx(4 * one["searched_seconds"]["background"])
    assert more["sensitivity"][0]["rate"] == pytest.approx(least["rate"] / 4)
    with h5py.File(tmp_path / "some" / "tiny-slides.hdf") as file:
        assert file.attrs["searched_seconds"] == pytest.approx(3 * one["searched_seconds"]["background"])
        assert len(file["time_L1"]) == len(file["stat"])
    assert f"of {len(file_tc(data))} injections lie outside the foreground" in some.stdout
    with h5py.File(data / "injections.hdf", "a") as file:
        file["tc"][:] += 1e6
    assert_refused(run_command("evaluate.py", small_run, *parts, "--output", tmp_path / "x"), "none of its injections")
    assert not (tmp_path / "x").exists()


def file_tc(folder):
    with h5py.File(folder / "injections.hdf") as file:
        return file["tc"][()]


def test_windows_of_two_networks_side_by_side(small_run, small_data, tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    for copy in (one, other):
        shutil.copytree(small_run, copy)
    given = ("evaluate.py", one, "--compare", other, "--data", small_data, "--windows", 2000)
    assert_refused(run_command(*given, "--output", tmp_path / "out"), "two networks of one name")
    card = json.loads((other / "card.json").read_text())
    (other / "card.json").write_text(json.dumps({**card, "name": "other"}))
    result = run_command(*given, "--output", tmp_path / "out", "--card")
    assert result.returncode == 0, result.stderr
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"tiny", "other", "comparison.csv", "comparison.png"}
    assert (tmp_path / "out" / "other" / "report.html").exists()
    noted = json.loads((other / "card.json").read_text())["metrics"]["windows"]
    (figures,) = noted.values()
    assert figures["signal_windows"] == 1000
    with (tmp_path / "out" / "comparison.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["network"] for row in rows] == ["tiny", "other"]
    assert rows[0]["AUC"] == rows[1]["AUC"]


def test_significance_of_a_search(small_run, tmp_path):
    strain = write_mlgwsc(tmp_path / "strain.hdf", ["H1", "L1"], seconds=60)
    events, slides = tmp_path / "events.hdf", ("--threshold", -100, "--slides", 20)
    given = (*PACKAGE, "search", small_run, strain, "--threshold", -100)
    made = run_command(*given, "--output", events, "--slides", 20, "--report", tmp_path / "report.html")
    assert made.returncode == 0, made.stderr
    assert made.stderr == ""
    background = tmp_path / "events-background.hdf"
    with h5py.File(background) as file:
        seconds, stat = file.attrs["searched_seconds"], file["stat"][()]
        assert seconds == pytest.approx(20 * (60 - 4 - 1), abs=1)
        assert len(file["time_L1"]) == len(stat) > 200
    with h5py.File(events) as file:
        years = seconds / (365.25 * 86400)
        louder = [1 + np.count_nonzero(stat >= s) for s in file["stat"][()]]
        np.testing.assert_allclose(file["far"][()], np.array(louder) / years)
        np.testing.assert_allclose(file["ifar"][()] * file["far"][()], 1)
        assert np.all((file["p_astro"][()] >= 0) & (file["p_astro"][()] <= 1))
        far, time = file["far"][()], file["time"][()]
        assert file.attrs["background_seconds"] == seconds
    assert "false alarms a year" in made.stdout
    assert (tmp_path / "report.html").read_text().count("data:image/png") == 5
    vetoes = tmp_path / "vetoes.txt"
    vetoes.write_text("# start stop\n100 120.5\n110 130\n")
    again = run_command(*given, "--output", tmp_path / "b.hdf", "--background", background, "--veto", vetoes)
    assert again.returncode == 0, again.stderr
    with h5py.File(tmp_path / "b.hdf") as file:
        kept = time >= 130
        np.testing.assert_array_equal(file["time"][()], time[kept])
        np.testing.assert_allclose(file["far"][()], far[kept])
        # From 102.5 s, the middle of the first window, to 130 s.
        assert file.attrs["vetoed_seconds"] == pytest.approx(27.5, abs=0.1)
    vetoes.write_text("5 4\n")
    refused = (
        (("--background", strain), "cannot be read as a background"),
        (("--background", tmp_path / "none.hdf"), "no such file"),
        (("--background", background, *slides[2:]), "give one of them"),
        (("--veto", vetoes), "vetoes.txt: expected a GPS start and a later stop"),
        (("--also", small_run), "two networks of one name"),
    )
    commands = [(*given[2:], "--output", tmp_path / "c.hdf", *options) for options, _ in refused]
    for result, (_, mentioned) in zip(run_commands(commands), refused, strict=True):
        assert_refused(result, mentioned)
    assert not (tmp_path / "c.hdf").exists()


def test_the_challenges_calling_convention(small_run, tmp_path):
    strain, output = write_mlgwsc(tmp_path / "strain.hdf", ["H1", "L1"], seconds=40), tmp_path / "events"
    result = run_command(*PACKAGE, "mlgwsc", small_run, strain, output)
    assert result.returncode == 0, result.stderr
    with h5py.File(output) as file:
        assert set(file) == {"time", "stat", "var"}
        assert len(file["time"]) == len(file["stat"]) == len(file["var"]) > 5
        assert np.all((file["time"][()] > 100) & (file["time"][()] < 140))
    again = ("mlgwsc", small_run, strain, output)
    refused, forced = run_commands([again, (*again, "--force")])
    assert_refused(refused, "exists already")
    assert forced.returncode == 0, forced.stderr


@pytest.mark.slow
def test_a_set_is_simulated_on_demand(small_run, tmp_path):
    out = ("--output", tmp_path / "out")
    options = ("--set", "set1", "--duration", "2m", "--seed", 9)
    first, again = (
        run_command(ROOT / "evaluate.py", small_run, *options, *more, cwd=tmp_path) for more in (out, (*out, "--force"))
    )
    assert first.returncode == again.returncode == 0, first.stderr + again.stderr
    assert "runs/sets/set1-120s-seed9-" in first.stdout
    assert "simulated before" in again.stdout
    assert first.stdout.splitlines()[1:] == again.stdout.splitlines()[1:]
    # Another population under the same name is another set.
    (tmp_path / "mine.yaml").write_text("{base: set1, mass_range: [30, 40]}")
    one = run_command(
        ROOT / "evaluate.py", small_run, "--set", "mine.yaml", *options[2:], *out, "--force", cwd=tmp_path
    )
    (tmp_path / "mine.yaml").write_text("{base: set1, mass_range: [10, 12]}")
    two = run_command(
        ROOT / "evaluate.py", small_run, "--set", "mine.yaml", *options[2:], *out, "--force", cwd=tmp_path
    )
    assert one.returncode == two.returncode == 0, one.stderr + two.stderr
    assert "simulated before" not in one.stdout + two.stdout
    assert one.stdout.splitlines()[0] != two.stdout.splitlines()[0]
    refused = (
        (("--set", "set9"), "set9"),
        (("--set", "set1", "--duration", "6w"), "6w"),
        (("--set", "set1", "--data", tmp_path), "give --data, or --set"),
        (("--set", "set1", "--lesion"), "--lesion goes with --data"),
    )
    commands = [("evaluate", small_run, *options, "--output", tmp_path / "x") for options, _ in refused]
    for result, (_, mentioned) in zip(run_commands(commands), refused, strict=True):
        assert_refused(result, mentioned)
