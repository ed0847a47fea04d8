import numpy as np
import pytest

from keras_gw_resnet import InputError, load_model
from keras_gw_resnet.search.search import search
from keras_gw_resnet.strain import stretches
from keras_gw_resnet.strain.writers import mlgwsc1_file


@pytest.fixture(scope="module")
def network(small_run):
    return load_model(small_run)


def write(path, seconds, bad=()):
    rng = np.random.default_rng(0)
    with mlgwsc1_file(path, ["H1", "L1"], 2048) as add:
        for detector in ("H1", "L1"):
            strain = rng.normal(size=seconds * 2048) * 1e-21
            for start, stop in bad:
                strain[round(start * 2048) : round(stop * 2048)] = np.nan
            add(detector, 1000, strain)
    return path


def test_slabs_and_one_piece_give_the_same_events(network, tmp_path, monkeypatch):
    path = write(tmp_path / "s.hdf", 100)
    # One noise spectrum a slab would make the strain itself differ; here the slabs' own are used for both.
    whole = search(*network, [path], threshold=-np.inf)
    assert whole.searched_seconds == pytest.approx(100 - 4 - 1, abs=0.05)
    assert whole.coverage.given == 100
    assert np.all(np.diff(whole.events.time) > 0)
    assert whole.snapshot.stretch.strain.shape[1] == 2
    monkeypatch.setattr(stretches, "SLAB_SECONDS", 40)
    parts = search(*network, [path], threshold=-np.inf)
    assert parts.searched_seconds == pytest.approx(whole.searched_seconds, abs=0.1)


def test_gaps_are_skipped_and_counted(network, tmp_path):
    path = write(tmp_path / "gap.hdf", 60, bad=[(20, 21.5), (25, 25.1)])
    result = search(*network, [path], threshold=-np.inf)
    assert result.coverage.invalid == pytest.approx(1.6, abs=0.01)
    assert result.coverage.short == pytest.approx(3.5, abs=0.01)
    assert not np.any((result.events.time > 1018.5) & (result.events.time < 1027))


def test_nothing_long_enough_is_refused(network, tmp_path):
    with pytest.raises(InputError, match="a noise spectrum takes 16 s of valid strain, a window 5 s"):
        search(*network, [write(tmp_path / "short.hdf", 4)], threshold=0)
    with pytest.raises(InputError, match="invalid"):
        search(*network, [write(tmp_path / "nan.hdf", 20, bad=[(0, 20)])], threshold=0)
