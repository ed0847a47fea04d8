"""Objects in, objects out: what `Detector.events` takes and gives."""

import importlib

import numpy as np
import pytest

from keras_gw_resnet import Detector, InputError, build_model
from keras_gw_resnet.search import events as module
from keras_gw_resnet.search.candidates import Candidates, join
from keras_gw_resnet.search.events import Events
from keras_gw_resnet.strain.writers import mlgwsc1_file
from tests.conftest import settle_batch_norm
from tests.test_zoo import CARD


@pytest.fixture(scope="module")
def network():
    model = build_model("resnet16", width=4)
    settle_batch_norm(model)
    return Detector(model, CARD)


@pytest.fixture(scope="module")
def strain():
    rng = np.random.default_rng(0)
    return {name: rng.normal(size=40 * 2048) * 1e-21 for name in ("H1", "L1")}


@pytest.fixture(scope="module")
def found(network, strain):
    return network.events(strain, -np.inf, sample_rate=2048, gps_start=1_000_000_000)


def test_strain_in_memory_is_searched_as_that_of_files(network, strain, found, tmp_path):
    with mlgwsc1_file(tmp_path / "s.hdf", list(strain), 2048) as add:
        for name, own in strain.items():
            add(name, 1_000_000_000, own)
    of_file = network.events(tmp_path / "s.hdf", -np.inf)
    columns = np.stack([strain[name] for name in network.detectors], axis=-1)
    of_array = network.events(columns, -np.inf, sample_rate=2048, gps_start=1_000_000_000)
    for other in (of_file, of_array):
        np.testing.assert_array_equal(found.time, other.time)
        np.testing.assert_array_equal(found.stat, other.stat)
        np.testing.assert_array_equal(found.columns()["stat_L1"], other.alone[:, 1])
    ((stretch, scan),) = network.scan(strain, sample_rate=2048, gps_start=1_000_000_000)
    whole = network.cluster(scan, stretch.gps_start, -np.inf, network.alone(stretch.strain))
    np.testing.assert_allclose(found.alone, whole.alone, atol=1e-4)
    assert stretch.gps_start == 1_000_000_002
    assert isinstance(found, Candidates) and len(join([found, of_file])) == 2 * len(found)
    assert found.coverage.given == 40 and "in 40.0 s of H1+L1 strain (invalid and skipped 0.0 s" in repr(found)


def test_what_cannot_be_searched_is_refused(network, strain):
    with pytest.raises(InputError, match=r"array of shape \(81920, 3\); expected \(samples, 2\)"):
        network.events(np.ones((81920, 3)), sample_rate=2048, gps_start=0)
    with pytest.raises(InputError, match="ndarray H1: does not say when"):
        network.events(strain)
    with pytest.raises(InputError, match="no strain of L1"):
        network.events({"H1": strain["H1"]}, sample_rate=2048, gps_start=0)
    with pytest.raises(InputError, match="ndarray H1: H1 is sampled at 1024 Hz"):
        network.events(strain, sample_rate=1024, gps_start=0)
    with pytest.raises(InputError, match="is no strain; expected files, a dictionary"):
        network.events(5)


def test_no_event_has_the_columns_of_events(network, strain, found):
    none = network.events(strain, 1e9, sample_rate=2048, gps_start=1_000_000_000)
    assert len(none) == 0 and list(none.columns()) == list(found.columns())


def test_events_are_a_sequence(found):
    first, *_, last = found
    assert found[0] == first and found[-1] == last and len(list(found)) == len(found)
    assert {"time", "stat", "var", "stat_H1", "one_detector", "catalogue", "remarks"} <= set(first)
    loud = found[found.stat > np.median(found.stat)]
    assert isinstance(loud, Events) and len(loud) == len(found) // 2 and loud.detectors == ("H1", "L1")
    assert found.loudest(1)[0]["stat"] == found.stat.max()
    assert repr(found[:0]).startswith("<Events: 0 events")


def test_events_become_tables(found):
    pytest.importorskip("astropy", reason="ASTROPY ABSENT; this check did not run")
    table = found.to_table()
    np.testing.assert_array_equal(table["time"], found.time)
    assert table.meta["detectors"] == ["H1", "L1"] and len(found[:0].to_table()) == 0


def test_events_become_ligolw_tables(found, tmp_path):
    pytest.importorskip("igwn_ligolw", reason="IGWN-LIGOLW ABSENT; this check did not run")
    from igwn_ligolw import lsctables, utils

    rated = Events.of(found, detectors=found.detectors, network="x", described={"far": np.full(len(found), 365.25)})
    utils.write_filename(rated.to_ligolw(), str(tmp_path / "events.xml"))
    document = utils.load_filename(str(tmp_path / "events.xml"))
    coincs = lsctables.CoincTable.get_table(document)
    np.testing.assert_allclose([row.likelihood for row in coincs], found.stat, rtol=1e-14)
    inspirals = lsctables.CoincInspiralTable.get_table(document)
    ends = [row.end_time + 1e-9 * row.end_time_ns for row in inspirals]
    np.testing.assert_allclose(ends, found.time, atol=1e-6, rtol=0)
    assert inspirals[0].combined_far == pytest.approx(1 / 86400)
    singles = lsctables.SnglInspiralTable.get_table(document)
    assert [row.ifo for row in singles[:2]] == ["H1", "L1"] and len(singles) == 2 * len(found)
    mapped = {(row.coinc_event_id, row.event_id) for row in lsctables.CoincMapTable.get_table(document)}
    assert (0, 1) in mapped and (1, 2) in mapped and len(mapped) == len(singles)
    assert "combined_far" not in lsctables.CoincInspiralTable.get_table(found.to_ligolw()).columnnames


@pytest.mark.parametrize(
    ("method", "package"), [("to_pandas", "pandas"), ("to_table", "astropy"), ("to_ligolw", "igwn-ligolw")]
)
def test_a_package_that_is_not_there_is_named(found, monkeypatch, method, package):
    def absent(name, *given):
        raise ImportError(name)

    monkeypatch.setattr(module, "import_module", absent)
    with pytest.raises(InputError, match=f"pip install {package}$"):
        getattr(found, method)()


def test_to_pandas(found):
    """Against pandas where it is there; otherwise that it is called with the columns."""
    try:
        pandas = importlib.import_module("pandas")
    except ImportError:
        pytest.skip("PANDAS ABSENT; this check did not run")
    frame = found.to_pandas()
    assert isinstance(frame, pandas.DataFrame) and len(frame) == len(found)
    np.testing.assert_array_equal(frame["stat"], found.stat)
