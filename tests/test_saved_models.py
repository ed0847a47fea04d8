"""What ships: every saved network finds what it should, on real strain and on the challenge's."""

import functools

import numpy as np
import pytest

from keras_gw_resnet import Detector
from keras_gw_resnet.models.weights import ALIASES, list_saved, saved_models_folder
from keras_gw_resnet.search.search import search
from keras_gw_resnet.strain.files import find_segments
from keras_gw_resnet.strain.writers import mlgwsc1_file
from keras_gw_resnet.zoo import load_card
from tests.conftest import is_deep, saved_names

GW150914 = 1126259462.42

OF_TWO = [name for name in list_saved() if load_card(name)["detectors"] == ["H1", "L1"]]
DEEP = {name for name in OF_TWO if is_deep(name)}
SETS = [pytest.param(set(OF_TWO) - DEEP, id="others"), pytest.param(DEEP, marks=pytest.mark.slow, id="deep")]

load = functools.cache(Detector.load)


def loud(network):
    """The statistic of which an event of ten minutes of Gaussian noise would be a surprise: that of a hundred false alarms a month."""
    rows = network.card["metrics"]["sets"]["set3"]["sensitivity"]
    return next(row["threshold"] for row in rows if row["rate"] <= 100)


@pytest.fixture(params=saved_names(OF_TWO))
def network(request):
    return load(request.param)


def test_gw150914_is_found_above_all_else(network, gw150914_files):
    ((stretch, scan),) = network.scan(gw150914_files)
    events = network.cluster(scan, stretch.gps_start).loudest(2)
    assert abs(events.time[0] - GW150914) < 0.1
    assert all(events.stat[0] > other + 3 for other in events.stat[1:])
    # The picture shows the statistic where the event is.
    assert abs(stretch.gps_start + network.times_of(scan)[np.argmax(scan.scores)] - GW150914) < 0.1


def test_the_network_for_three_detectors_finds_it_beside_simulated_strain_of_virgo(gw150914_files, tmp_path):
    (header, *_) = find_segments(gw150914_files)
    rng = np.random.default_rng(0)
    with mlgwsc1_file(tmp_path / "virgo.hdf", ["V1"], 4096) as add:
        add("V1", int(header.gps_start), rng.normal(size=32 * 4096) * 1e-21)
    found = load("resnet18-w16-hlv").events([*gw150914_files, tmp_path / "virgo.hdf"])
    of_two = load("flagship").events(gw150914_files)
    assert abs(found.loudest(1).time[0] - GW150914) < 0.1
    # What noise of V1 adds is little.
    assert found.stat.max() == pytest.approx(of_two.stat.max() - 1.4, abs=4)
    assert abs(found.columns()["stat_V1"][np.argmax(found.stat)]) < 60


@pytest.mark.parametrize("names", SETS)
def test_the_challenges_ten_minutes(mlgwsc1_folder, names):
    """No loud event in the background, for any network; all in one pass over the strain."""
    networks = [load(name) for name in sorted(names)]
    for network, found in zip(networks, search(networks, [mlgwsc1_folder / "set3-background.hdf"]), strict=True):
        assert found.events.stat.max() < loud(network)
        assert found.difference < 1e-3 or not network.exact
        assert found.searched_seconds > 590


@pytest.mark.slow
@pytest.mark.parametrize("names", SETS)
def test_the_challenges_faint_injections(mlgwsc1_folder, names):
    """They make no loud events, of any network; all in one pass over the strain."""
    networks = [load(name) for name in sorted(names)]
    for network, foreground in zip(networks, search(networks, [mlgwsc1_folder / "set3-foreground.hdf"]), strict=True):
        assert foreground.events.stat.max() < 2 * loud(network)
        assert np.all(np.diff(foreground.events.time) > 0)


def test_cards_and_sizes():
    assert sum(path.stat().st_size for path in saved_models_folder().rglob("*") if path.is_file()) < 25e6
    for name in list_saved():
        card = load_card(name)
        assert card["name"] == name
        assert len(card["signals"]["stat"]) >= 500
        assert card["training"]["examples"] > 0
        assert ({"set1", "set3"} if name in OF_TWO else {"set3"}) <= set(card["metrics"]["sets"])
        assert "of seed" in card["selection"]
        assert (saved_models_folder() / name / "recipe.yaml").exists()


def test_aliases_name_saved_networks():
    assert "flagship" in ALIASES
    for alias, name in ALIASES.items():
        assert load_card(alias)["name"] == name in list_saved()
