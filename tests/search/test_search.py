import os
import shutil

import h5py
import numpy as np
import pytest

from keras_gw_resnet import Detector, InputError, build_model
from keras_gw_resnet.models.graph import parts_of
from keras_gw_resnet.search import search as module
from keras_gw_resnet.search.journal import Journal
from keras_gw_resnet.search.search import search
from keras_gw_resnet.strain import stretches
from keras_gw_resnet.strain.writers import mlgwsc1_file
from keras_gw_resnet.zoo import load_card, save_model
from tests.conftest import assert_refused, run_command


@pytest.fixture(scope="module")
def network(small_run):
    return Detector.load(small_run)


def search_one(network, *given, **options):
    (found,) = search([network], *given, **options)
    return found


def write(path, seconds, bad=()):
    rng = np.random.default_rng(0)
    with mlgwsc1_file(path, ["H1", "L1"], 2048) as add:
        for detector in ("H1", "L1"):
            strain = rng.normal(size=seconds * 2048) * 1e-21
            for start, stop in bad:
                strain[round(start * 2048) : round(stop * 2048)] = np.nan
            add(detector, 1000, strain)
    return path


def test_chunks_and_one_piece_give_the_same_events(network, tmp_path, monkeypatch):
    path = write(tmp_path / "s.hdf", 100)
    # One noise spectrum a chunk would make the strain itself differ; here the chunks' own are used for both.
    whole = search_one(network, [path], threshold=-np.inf)
    assert whole.searched_seconds == pytest.approx(100 - 4 - 1, abs=0.05)
    assert whole.coverage.given == 100
    assert np.all(np.diff(whole.events.time) > 0)
    assert whole.snapshots[0].strain.shape[1] == 2
    assert whole.difference < 1e-3
    monkeypatch.setattr(stretches, "CHUNK_SECONDS", 40)
    parts = search_one(network, [path], threshold=-np.inf)
    assert parts.searched_seconds == pytest.approx(whole.searched_seconds, abs=0.1)


def test_gaps_are_skipped_and_counted(network, tmp_path):
    path = write(tmp_path / "gap.hdf", 60, bad=[(20, 21.5), (25, 25.1)])
    result = search_one(network, [path], threshold=-np.inf)
    assert result.coverage.invalid == pytest.approx(1.6, abs=0.01)
    assert result.coverage.short == pytest.approx(3.5, abs=0.01)
    assert not np.any((result.events.time > 1018.5) & (result.events.time < 1027))


def test_nothing_long_enough_is_refused(network, tmp_path):
    with pytest.raises(InputError, match="a noise spectrum takes 16 s of valid strain, a window 5 s"):
        search_one(network, [write(tmp_path / "short.hdf", 4)], threshold=0)
    with pytest.raises(InputError, match="invalid"):
        search_one(network, [write(tmp_path / "nan.hdf", 20, bad=[(0, 20)])], threshold=0)


def equal(one, other):
    for name in ("time", "stat", "var"):
        np.testing.assert_array_equal(getattr(one.events, name), getattr(other.events, name))
    np.testing.assert_array_equal(one.background.stat, other.background.stat)
    np.testing.assert_array_equal(one.background.time, other.background.time)
    assert one.coverage == other.coverage
    assert one.background.seconds == other.background.seconds
    assert [s.time for s in one.snapshots] == [s.time for s in other.snapshots]
    np.testing.assert_array_equal(one.snapshots[0].strain, other.snapshots[0].strain)


def test_an_interrupted_search_goes_on(network, tmp_path, monkeypatch):
    path = write(tmp_path / "s.hdf", 150, bad=[(70, 71)])
    monkeypatch.setattr(stretches, "CHUNK_SECONDS", 40)
    options = {"threshold": -np.inf, "slides": 3, "snapshots": 2}
    whole = search_one(network, [path], **options)
    assert len(whole.background.stat) > 20
    journal, seen, stopped = tmp_path / ".journal", [], []
    searched = module._search_chunk

    def stop_at_the_third(*given):
        seen.append(given[1].gps_start)
        if len(seen) == 3 and not stopped:
            stopped.append(True)
            raise KeyboardInterrupt
        return searched(*given)

    monkeypatch.setattr(module, "_search_chunk", stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        search([network], [path], journal=journal, **options)
    assert len(list(journal.glob("chunk-*.npz"))) == 2
    again = search_one(network, [path], journal=journal, **options)
    assert len(seen) == len(set(seen)) + 1
    equal(again, whole)
    # What was kept belongs to that search alone.
    seen.clear()
    other = search_one(network, [path], journal=journal, **{**options, "threshold": 0.0})
    assert len(seen) > 2
    assert np.all(other.events.stat >= 0)


def test_a_damaged_journal_costs_a_chunk_and_no_more(network, tmp_path, monkeypatch):
    path, journal = write(tmp_path / "s.hdf", 100), tmp_path / ".journal"
    monkeypatch.setattr(stretches, "CHUNK_SECONDS", 40)
    whole = search_one(network, [path], threshold=-np.inf, slides=2, journal=journal)
    one, two, three = sorted(journal.glob("chunk-*.npz"))
    one.write_bytes(one.read_bytes()[:1000])
    two.write_bytes(b"")
    equal(search_one(network, [path], threshold=-np.inf, slides=2, journal=journal), whole)
    assert three.exists()


def test_a_journal_with_something_else_in_it(tmp_path):
    journal = Journal(tmp_path / "j", {"a": 1})
    journal.add(5.0, [])
    (own,) = (tmp_path / "j").glob("chunk-*")
    shutil.copy(own, tmp_path / "kept")
    assert journal.finished() == {5.0: []}
    assert Journal(tmp_path / "j", {"a": 1}).finished() == {5.0: []}
    other = Journal(tmp_path / "other", {"a": 2})
    other.add(5.0, [])
    (theirs,) = (tmp_path / "other").glob("chunk-*")
    shutil.copy(own, theirs)  # of another search
    os.mkfifo(tmp_path / "other" / "chunk-1.npz")
    (tmp_path / "other" / "chunk-2.npz").symlink_to(tmp_path / "kept")
    assert other.finished() == {}
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["search.json"]
    assert (tmp_path / "kept").exists()
    (tmp_path / "other" / "chunk-3.npz").mkdir()
    with pytest.raises(InputError, match=r"chunk-3\.npz: is a folder"):
        other.finished()


def test_vetoes_leave_out_time_and_events(network, tmp_path):
    path = write(tmp_path / "s.hdf", 60)
    whole = search_one(network, [path], threshold=-np.inf, snapshots=50)
    vetoes = np.array([[1010.0, 1020.0], [1015.0, 1030.0], [0.0, 1002.0]])
    found = search_one(network, [path], threshold=-np.inf, snapshots=50, vetoes=vetoes)
    kept = (whole.events.time < 1010) | (whole.events.time >= 1030)
    np.testing.assert_array_equal(found.events.time, whole.events.time[kept])
    assert found.vetoed_seconds == pytest.approx(20, abs=0.1)
    assert found.searched_seconds + found.vetoed_seconds == pytest.approx(whole.searched_seconds)
    assert len(found.snapshots) == np.count_nonzero(kept)
    everything = search_one(network, [path], threshold=-np.inf, slides=3, vetoes=np.array([[0.0, 1e10]]))
    assert everything.searched_seconds == everything.background.seconds == len(everything.events) == 0


def test_several_networks_in_one_pass(network, tmp_path):
    path = write(tmp_path / "s.hdf", 60)
    other = Detector(network.model, {**network.card, "timing": {"merger_seconds": 1.0, "tolerance_seconds": 0.1}})
    one, two = search([network, other], [path], threshold=-np.inf)
    equal(one, search_one(network, [path], threshold=-np.inf))
    shift = 1.0 - network.card["timing"]["merger_seconds"]
    np.testing.assert_allclose(two.events.time - one.events.time, shift, atol=1e-5)
    card = {**network.card, "whitening": {**network.card["whitening"], "low_frequency": 30.0}}
    with pytest.raises(InputError, match="another whitening; search with one at a time"):
        search([network, Detector(network.model, card)], [path])


def test_detector_scans_scores_and_finds(network, tmp_path):
    path = write(tmp_path / "s.hdf", 60)
    segments = network.segments([path])
    ((stretch, scan),) = network.scan(segments)
    assert stretch.seconds == pytest.approx(60 - 4)
    window = stretch.strain[64 * 32 :][: network.window_samples]
    np.testing.assert_allclose(network.score(window[None]), scan.scores[64], atol=1e-3)
    events = network.events(path, threshold=-np.inf)
    np.testing.assert_array_equal(events.time, network.events([stretch], threshold=-np.inf).time)
    np.testing.assert_array_equal(events.stat, search_one(network, [path], threshold=-np.inf).events.stat)
    with pytest.raises(InputError, match=r"takes \(n, 2048, 2\)"):
        network.score(window)
    with pytest.raises(InputError, match="no strain given"):
        network.events([])
    with pytest.raises(InputError, match="a noise spectrum takes 16 s"):
        network.events(write(tmp_path / "short.hdf", 10))
    assert len(network.score(np.empty((0, 2048, 2)))) == 0


def test_each_detector_alone(network, tmp_path):
    """What a detector gives alone comes along with events, background and pictures, and is the scan of its strain alone."""
    path = write(tmp_path / "s.hdf", 60)
    found = search_one(network, [path], threshold=-np.inf, slides=2, alone=True)
    plain = search_one(network, [path], threshold=-np.inf, slides=2)
    np.testing.assert_array_equal(found.events.stat, plain.events.stat)
    np.testing.assert_array_equal(found.background.stat, plain.background.stat)
    assert found.events.alone.shape == (len(found.events), 2) and plain.events.alone.shape[1] == 0
    assert np.all(np.isnan(plain.background.alone)) and np.all(np.isfinite(found.background.alone))
    ((stretch, _),) = network.scan([path])
    only = stretch.strain.copy()
    only[:, 0] = 0
    scores, at = network.scanner.scan(only).scores, stretch.gps_start + network.times_of(network.scanner.scan(only))
    # L1's own strain is as loud wherever H1's is: the highest within a tenth of a second of the event.
    for time, own in zip(found.background.time[:20, 1], found.background.alone[:20, 1], strict=True):
        near = np.abs(at - time) < 1.2
        assert scores[near].min() - 1e-4 <= own <= scores[near].max() + 1e-4 or not near.any()
    again = type(found).from_arrays({name: np.asarray(value) for name, value in found.to_arrays().items()})
    np.testing.assert_array_equal(again.events.alone, found.events.alone)
    np.testing.assert_array_equal(again.background.alone, found.background.alone)
    assert again.snapshots[0].alone.shape == (len(again.snapshots[0].scores), 2)


def test_what_each_detector_gives_alone_is_the_same_near_few_events_and_near_many(tmp_path, monkeypatch):
    network, path = Detector.load("resnet18-w16"), write(tmp_path / "s.hdf", 100)
    monkeypatch.setattr(stretches, "CHUNK_SECONDS", 40)
    scanned, arrangements = [], network.scanner.scan_arranged
    monkeypatch.setattr(
        network.scanner,
        "scan_arranged",
        lambda strain, given, *more: scanned.append(len(given)) or arrangements(strain, given, *more),
    )
    many = search_one(network, [path], threshold=-4, alone=True)
    # Of the first chunk nothing is known yet.
    assert network.mostly_near(many) and scanned == [1, 2, 3, 3]
    monkeypatch.setattr(type(network), "mostly_near", lambda *given: False)
    few = search_one(network, [path], threshold=-4, alone=True)
    assert scanned[4:] == [1, 2, 1, 2, 1, 2]
    np.testing.assert_array_equal(few.events.stat, many.events.stat)
    np.testing.assert_array_equal(few.events.alone, many.events.alone)


def test_a_network_is_searched_with_tests_of_consistency_that_it_was_not_saved_with(gw150914_files, tmp_path):
    card = load_card("resnet16-w16")
    options = {**card["options"], "consistency": False, "weights": "resnet16-w16"}
    plain = build_model("resnet16", input_shape=(3072, 2), **options)
    save_model(plain, {**card, "options": options, "parts": parts_of(plain).to_dict()}, tmp_path / "plain")
    common = ["-m", "keras_gw_resnet", "search", tmp_path / "plain", *gw150914_files]
    done = run_command(*common, "--slides", "2", "--consistency", "--output", tmp_path / "events.hdf")
    assert "1126259462.4" in done.stdout
    with h5py.File(tmp_path / "events.hdf") as file:
        loudest = file["stat"][()].max()
        assert file.attrs["model_sha256"].endswith("+consistency")
    # As loud as to the network that is saved with the tests.
    assert loudest == pytest.approx(Detector.load("resnet16-w16").events(gw150914_files).stat.max(), abs=0.2)
    background = tmp_path / "events-background.hdf"
    assert_refused(
        run_command(*common, "--background", background, "--output", tmp_path / "e.hdf"), "of another network"
    )
    refused = [
        "-m",
        "keras_gw_resnet",
        "search",
        "residual-cnn-w16",
        *gw150914_files,
        "--consistency",
        "--output",
        tmp_path / "f.hdf",
    ]
    assert_refused(run_command(*refused), "--consistency: residual-cnn-w16 has no matched filter")
