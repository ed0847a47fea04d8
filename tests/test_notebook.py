import json

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

from tests.conftest import ROOT


@pytest.fixture
def notebook(tmp_path, monkeypatch):
    """Run a notebook of docs/ in an empty folder and return its names; `sizes` take the place of those of its cell of sizes."""
    monkeypatch.chdir(tmp_path)
    mpl.use("agg")

    def run(name, **sizes):
        scope = {}
        for cell in json.loads((ROOT / "docs" / f"{name}.ipynb").read_text())["cells"]:
            if cell["cell_type"] == "code":
                exec(compile("".join(cell["source"]), name, "exec"), scope)
            if cell["metadata"].get("tags") == ["sizes"]:
                assert set(sizes) <= set(scope)
                scope |= sizes
        return scope

    yield run
    plt.close("all")


def test_gw150914_is_found(notebook):
    found = notebook("gw150914")
    loudest, window = found["loudest"], found["window"]
    assert abs(loudest.time[0] - 1126259462.42) < 0.1
    assert loudest.stat[0] > loudest.stat[1] + 5
    assert abs(found["together"] - found["detector"].score(window[None])[0]) < 1e-3


def test_own_windows_are_scored(notebook):
    found = notebook("score_windows")
    merger = 1126259462.42 - found["begin"][found["loudest"]]
    assert 0 < merger < found["windows"].shape[1] / found["detector"].sample_rate
    assert found["logit"].max() > 10


@pytest.mark.slow
def test_families_are_trained_and_compared(notebook):
    small = {"WIDTH": 4, "EPOCHS": 1, "STEPS": 3, "BATCH": 16, "WAVEFORMS": 24, "SECONDS": 64, "HELD_OUT": 1000}
    found = notebook("train_family", **small)
    assert found["history"].shape == () and len(found["logit"]) == 2000


@pytest.mark.slow
def test_a_family_is_added(notebook, monkeypatch):
    from keras_gw_resnet.models import registry

    monkeypatch.setattr(registry, "MODELS", dict(registry.MODELS))
    found = notebook("add_family", EPOCHS=1, STEPS=3, BATCH=16, WAVEFORMS=24, SECONDS=64, HELD_OUT=1000)
    assert found["detector"].card["model"] == "plainnet"
    assert found["network"].parts.exact


def test_two_networks_are_compared(notebook):
    found = notebook("compare_networks", MINUTES=2)
    assert len(found["statistics"]) == 2
    assert found["statistics"][0].shape == found["given"].injections["tc"].shape


@pytest.mark.slow
def test_glitches_are_taught(notebook):
    small = {"EPOCHS": 1, "STEPS": 3, "BATCH": 16, "WAVEFORMS": 24, "SECONDS": 64, "HELD_OUT": 1000}
    found = notebook("teach_glitches", **small)
    assert found["scores"]["with"].keys() == found["KINDS"].keys()


@pytest.mark.slow
def test_a_network_is_adapted(notebook):
    small = {"EPOCHS": 1, "STEPS": 2, "BATCH": 16, "HELD_OUT": 8, "WAVEFORMS": 24, "SECONDS": 64}
    found = notebook("adapt_network", **small)
    assert len(found["label"]) == 8 * 16 and np.any(found["logits_before"] != found["logits_after"])
    assert abs(found["events"].loudest(1).time[0] - 1126259462.42) < 0.2


@pytest.mark.slow
def test_what_a_network_looks_at_is_read(notebook):
    found = notebook("look_inside")
    assert found["found"].stat > 50
    assert found["found"].attribution[found["near"]].sum() > 0.9 * found["found"].attribution.sum()
