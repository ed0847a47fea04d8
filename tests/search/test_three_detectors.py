"""Three detectors where two are taken, and two where one of the three is absent."""

import itertools
import json

import h5py
import numpy as np
import pytest

from keras_gw_resnet import Detector, InputError, build_model
from keras_gw_resnet.cli import main
from keras_gw_resnet.search.background import slide_shifts
from keras_gw_resnet.search.search import search, search_with_fewer
from keras_gw_resnet.search.significance import judge
from keras_gw_resnet.strain.files import find_segments
from keras_gw_resnet.strain.stretches import WhitenedStretch, whitened_chunks
from keras_gw_resnet.strain.writers import mlgwsc1_file
from keras_gw_resnet.training.config import TrainingConfig
from keras_gw_resnet.training.data import load_batches
from keras_gw_resnet.zoo import load_card
from keras_gw_resnet.zoo import save_model as write_model
from tests.conftest import settle_batch_norm

THREE = ("H1", "L1", "V1")
ENDED = -20.0


def untrained(folder, card, detectors):
    model = build_model("resnet16", width=4, input_shape=(2048, len(detectors)))
    settle_batch_norm(model)
    write_model(model, {**card, "name": folder.name, "detectors": list(detectors)}, folder)
    return Detector.load(folder)


@pytest.fixture(scope="module")
def networks(small_run, tmp_path_factory):
    folder, card = tmp_path_factory.mktemp("networks"), load_card(small_run)
    return [untrained(folder / name, card, own) for name, own in (("three", THREE), ("two", THREE[:2]))]


def write(path, absent=None, detectors=THREE, seconds=90, three=THREE):
    """Noise of three detectors, V1 without data for a part of it."""
    rng = np.random.default_rng(0)
    with mlgwsc1_file(path, detectors, 2048) as add:
        for detector in three:
            strain = rng.normal(size=seconds * 2048) * 1e-21
            if detector == "V1" and absent:
                strain[absent[0] * 2048 : absent[1] * 2048] = np.nan
            if detector in detectors:
                add(detector, 1000, strain)
    return path


def test_no_pair_is_coincident_in_any_slide(networks):
    stretch = WhitenedStretch(0.0, 2048, THREE, np.zeros((60 * 2048, 3), "float32"), ())
    slides = slide_shifts(networks[0], stretch, 100)
    assert len(slides) == len(set(slides)) == 14
    apart = [(b - a) % len(stretch.strain) for own in slides for a, b in itertools.combinations(own, 2)]
    assert min(apart) >= 2 * 2048 and max(apart) <= 58 * 2048


def test_every_second_is_searched_once_by_the_network_that_fits(networks, tmp_path):
    three, two = networks
    path, options = write(tmp_path / "gap.hdf", absent=(40, 60)), {"threshold": ENDED, "slides": 2, "alone": True}
    whole, part = search_with_fewer(three, two, [path], **options)
    both = np.concatenate([whole.intervals, part.intervals])
    (alone,) = search([two], [path], **options)
    assert whole.searched_seconds == pytest.approx(np.diff(whole.intervals).sum())
    assert np.diff(np.sort(both.ravel())).min() >= -1e-6 and len(whole.intervals) == 2
    assert whole.searched_seconds + part.searched_seconds == pytest.approx(alone.searched_seconds, abs=0.2)
    assert 20 < part.searched_seconds < 30
    assert np.count_nonzero((part.events.time > 1040) & (part.events.time < 1060)) > 10
    # What is whitened for it is what it would be given of all of the strain.
    given = find_segments([path]), THREE[:2], two.whitening
    every, some = (
        next(one for chunk in chunks for one in chunk.stretches if one.gps_start < 1045 < one.gps_start + one.seconds)
        for chunks in (whitened_chunks(*given, window_samples=2048, without=left) for left in (None, whole.intervals))
    )
    first = round((some.gps_start - every.gps_start) * 2048)
    assert first > 0 and len(some.strain) < len(every.strain) / 2
    np.testing.assert_allclose(some.strain, every.strain[first : first + len(some.strain)], atol=1e-4)
    assert whole.events.alone.shape[1] == 3 and part.events.alone.shape[1] == 2
    _, columns, _ = judge(whole.events, whole.background, three.card, whole.searched_seconds, ENDED)
    assert whole.background.time.shape[1] == 3 and np.all(columns["far"] > 0)


@pytest.mark.parametrize("third", ["V1", "K1"])
def test_events_of_three_detectors_have_false_alarm_rates_and_p_astro(small_run, tmp_path, third):
    detectors = (*THREE[:2], third)
    three = untrained(tmp_path / "net", load_card(small_run), detectors)
    path = write(tmp_path / "s.hdf", detectors=detectors, three=detectors)
    (found,) = search([three], [path], threshold=ENDED, slides=4, alone=True)
    assert found.background.slides == 4 and len(found.background.stat) > 100
    _, columns, _ = judge(found.events, found.background, three.card, found.searched_seconds, ENDED)
    assert np.all((columns["p_astro"] >= 0) & (columns["p_astro"] < 0.9)), "noise alone"
    rarer = np.lexsort((-columns["p_astro"], columns["far"]))
    assert np.all(columns["far"] > 0) and np.all(np.diff(columns["p_astro"][rarer]) <= 0)


def test_without_the_third_detector_all_is_searched_with_two(networks, tmp_path):
    three, two = networks
    path = write(tmp_path / "two.hdf", detectors=THREE[:2])
    whole, part = search_with_fewer(three, two, [path], threshold=ENDED)
    (alone,) = search([two], [path], threshold=ENDED)
    assert whole.searched_seconds == len(whole.events) == 0
    np.testing.assert_array_equal(part.events.stat, alone.events.stat)
    with pytest.raises(InputError, match="no strain of L1"):
        search_with_fewer(three, two, [write(tmp_path / "one.hdf", detectors=("H1", "V1"))], threshold=ENDED)
    short = write(tmp_path / "short.hdf", seconds=10)
    with pytest.raises(InputError, match="a noise spectrum takes 16 s"):
        search_with_fewer(three, two, [short], threshold=ENDED)


def test_the_command_says_which_network_found_what(networks, tmp_path, capsys):
    three, two = (str(tmp_path / network.name) for network in networks)
    for network, folder in zip(networks, (three, two), strict=True):
        write_model(network.model, network.card, folder)
    path, output = str(write(tmp_path / "gap.hdf", absent=(40, 60))), tmp_path / "e.hdf"
    given = ["--output", str(output), "--threshold", str(ENDED), "--slides", "2", "--report", str(tmp_path / "r.html")]
    assert main(["search", three, path, "--or", two, *given]) == 0
    said = capsys.readouterr().out
    assert "strain with three" in said and "strain with two" in said and "All events, by false-alarm rate" in said
    for name, detectors in (("", "H1+L1+V1"), ("-two", "H1+L1")):
        events = json.loads((tmp_path / f"e{name}.json").read_text())["events"]
        assert {event["detectors"] for event in events} == {detectors}
        with h5py.File(tmp_path / f"e{name}.hdf") as file:
            assert list(file.attrs["detectors"]) == detectors.split("+")
    refused = {
        (three, path, "--or", three): "two networks of one name",
        (two, path, "--or", three): "takes H1 and L1 and V1; expected a network of some of H1, L1",
        (three, path, "--or", two, "--also", "resnet18-w16"): "--or does not go with --also",
        (three, str(write(tmp_path / "two.hdf", detectors=THREE[:2]))): "or --or MODEL, a network of fewer detectors",
    }
    for command, message in refused.items():
        assert main(["search", *command, "--output", str(tmp_path / "x.hdf")]) == 2
        assert message in capsys.readouterr().err
    assert main(["search", two, path, "--output", str(tmp_path / "y.hdf"), "--threshold", "1000"]) == 0
    assert "NOTE: V1 in the files is not searched; two takes H1 and L1" in capsys.readouterr().out


def test_examples_for_three_detectors(small_data):
    """Arrival times lie within the time of light between the sites; a lone signal is in one detector; the spectrum of V1 is its own."""
    few = {"noise_windows": 200, "signal_windows": 50, "false_alarm_probability": 0.05, "batches": 4}
    psd = ("aLIGOZeroDetHighPower", "V1=AdVO3LowT1800545")
    data = {"path": str(small_data), "detectors": THREE, "noise": "gaussian", "psd": psd, "window_samples": 2048}
    shares = {"lone_signal_share": 0.5, "inconsistent_share": 0.25, "glitch_share": 0.25}
    config = TrainingConfig.of(network={"model": "resnet16"}, data=data, metric=few, negatives=shares)
    batches = load_batches(config).training
    assert batches.signals.light_travel_seconds() == pytest.approx(0.0273, abs=2e-4)
    rng = np.random.default_rng(0)
    filters = np.zeros((400, 3), int)
    signal, *_ = batches.signals.draw(rng, filters)
    loudest = np.abs(signal).argmax(axis=1) / 2048
    away = loudest[:, 2] - loudest[:, 0]
    assert np.quantile(np.abs(away), 0.9) > 0.015 and np.median(np.abs(away)) < 0.03
    # V1 is half as far-seeing, and turned another way.
    power = np.square(signal).sum(axis=1)
    assert 0.02 < np.median(power[:, 2] / power.sum(axis=1)) < 0.2
    examples = batches.examples(0, 0, batches.batch_size)
    assert examples.strain.shape[1:] == (2048, 3) and abs(examples.strain[examples.label.ravel() == 0].std() - 1) < 0.3
    strain = np.zeros((30, 2048, 3), "float32")
    lone = batches.opened["lone signal"]
    lone.add(batches, rng, strain, np.zeros((30, 3), int), np.arange(30), 0)
    assert (
        np.all((np.abs(strain).max(axis=1) > 0).sum(axis=1) == 1)
        and len(set(np.abs(strain).max(axis=1).argmax(axis=1))) == 3
    )
