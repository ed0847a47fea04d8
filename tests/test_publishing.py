"""Networks for others: folders that hubs take, and networks that come from a hub."""

import hashlib
import http.server
import json
import shutil
import threading

import keras
import numpy as np
import pytest

from keras_gw_resnet import InputError, build_model
from keras_gw_resnet.card_page import sections_of
from keras_gw_resnet.hub import fetched
from keras_gw_resnet.publishing import ABOUT, SUMS, publish
from keras_gw_resnet.search.detector import Detector
from keras_gw_resnet.zoo import load_card, note_measurement, save_model
from tests.conftest import assert_refused, run_command, settle_batch_norm
from tests.test_zoo import CARD

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    folder = tmp_path_factory.mktemp("net") / "small"
    model = build_model("resnet16", width=4)
    settle_batch_norm(model)
    save_model(model, {**CARD, "name": "small"}, folder)
    row = {"rate": 1000.0, "threshold": 3.0, "distance": 1500.4, "distance_error": 9.0, "found_fraction": 0.1}
    known = {"hours": {"foreground": 1.0, "background": 1.0}, "injections": 5, "sensitivity": [row]}
    note_measurement(folder, "sets", "set3", known)
    found = {"chirp_mass": [5.0, 12.0], "signals": 40, "100": 0.625}
    masses = {"thresholds": {"100": 3.0}, "thresholds_from": "the card: set3", "found": [found]}
    note_measurement(folder, "masses", "snr 8 to 10", masses)
    (folder / "recipe.yaml").write_text("epochs: 1\n")
    return folder


@pytest.fixture(scope="module")
def published(network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub") / "small"
    publish(network, folder)
    return folder


def test_a_published_folder_says_what_is_in_it(network, published):
    sums = dict(reversed(line.split("  ")) for line in (published / SUMS).read_text().splitlines())
    assert set(sums) == {path.name for path in published.iterdir()} - {SUMS}
    for name, digest in sums.items():
        assert hashlib.sha256((published / name).read_bytes()).hexdigest() == digest
    assert sums["model.keras"] == load_card(network)["sha256"] == load_card(published)["sha256"]
    _, metadata, page = (published / ABOUT).read_text().split("---\n", 2)
    yaml = pytest.importorskip("yaml")
    said = yaml.safe_load(metadata)
    assert said["library_name"] == "keras" and {"gravitational-waves", "resnet16"} <= set(said["tags"])
    assert "license" not in said, "a network that does not ship is under the licence of who made it"
    (result,) = said["model-index"][0]["results"]
    assert result["metrics"][0]["value"] == 1500 and result["dataset"]["name"] == "set3"
    assert "# small" in page and "float32 (batch, 2048, 2)" in page and "1500 ± 9" in page
    assert "## Found by chirp mass: snr 8 to 10" in page and "| 5 to 12 | 40 | 0.62 |" in page
    assert json.loads((published / ".zenodo.json").read_text())["title"].startswith("small: ")


def test_a_page_says_which_noise_and_what_was_learnt_before():
    sections = sections_of(load_card("flagship"))
    assert "Measured strain, slid: 1365 s of H1, 1365 s of L1" in sections["Distances: set3 in measured noise"]
    assert "recorded glitches, so many a minute: 0.3 in H1" in sections["Distances: set3 with glitches"]
    assert sections["Distances: set3"].splitlines()[0].endswith("h of background.")
    assert "`resnet18-w16-coherent`, trained on 307,200 examples" in sections["Training"]
    assert "| examples after that | 128 |" in sections["Training"]


def test_a_published_folder_is_loaded_by_the_project_and_by_keras(network, published):
    strain = np.random.default_rng(0).normal(size=(2, 2048, 2)).astype("float32")
    own = Detector.load(network)._model
    for other in (Detector.load(published)._model, keras.saving.load_model(str(published), safe_mode=True)):
        for mine, theirs in zip(own.get_weights(), other.get_weights(), strict=True):
            np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_array_equal(own.predict(strain, verbose=0), other.predict(strain, verbose=0))


def test_the_command_publishes_and_keeps_what_is_there(network, tmp_path):
    given = ("-m", "keras_gw_resnet", "models", network, "--publish", tmp_path / "out")
    done = run_command(*given)
    assert done.returncode == 0 and "README.md" in done.stdout, done.stderr
    assert_refused(run_command(*given), "out", "--overwrite")
    assert run_command(*given, "--overwrite").returncode == 0
    (tmp_path / "out" / "mine.txt").write_text("x")
    assert_refused(run_command(*given, "--overwrite"), "mine.txt")
    missing = ("-m", "keras_gw_resnet", "models", "no-such", "--publish", tmp_path / "other")
    assert_refused(run_command(*missing), "no-such", "no saved network there")
    assert not (tmp_path / "other").exists()


def _like(network, folder, **said):
    """Return a copy of a network whose card says something else."""
    shutil.copytree(network, folder)
    card = {**json.loads((folder / "card.json").read_text()), **said}
    (folder / "card.json").write_text(json.dumps(card))
    return folder


def test_a_changed_or_damaged_network_is_not_published(network, tmp_path):
    changed = _like(network, tmp_path / "changed", sha256="0" * 64)
    (tmp_path / "bad").write_text("no archive")
    damaged = _like(network, tmp_path / "damaged", sha256=hashlib.sha256(b"no archive").hexdigest())
    shutil.copy(tmp_path / "bad", damaged / "model.keras")
    poor = _like(network, tmp_path / "poor", packages={})
    for name, message in ((changed, "sha256 is"), (damaged, "damaged"), (poor, "poor/card.json: does not say")):
        with pytest.raises(InputError, match=message):
            publish(name, tmp_path / "out")
        assert not (tmp_path / "out").exists()


def test_overwriting_spares_a_network_that_was_not_published(network, tmp_path):
    mine = _like(network, tmp_path / "mine")
    with pytest.raises(InputError, match=f"mine: was not published, it has no {SUMS}"):
        publish(network, mine, overwrite=True)
    assert {path.name for path in mine.iterdir()} == {path.name for path in network.iterdir()}


def test_a_link_to_a_folder_is_written_through(network, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    publish(network, tmp_path / "link", overwrite=True)
    assert (tmp_path / "real" / SUMS).is_file() and (tmp_path / "link").is_symlink()


def test_metadata_is_yaml_whatever_a_network_is_called(network, tmp_path):
    yaml = pytest.importorskip("yaml")
    odd = _like(network, tmp_path / "odd", name="a: b, #é", model="mine:net [x]")
    publish(odd, tmp_path / "out")
    said = yaml.safe_load((tmp_path / "out" / ABOUT).read_text().split("---\n", 2)[1])
    assert said["tags"][-1] == "mine:net [x]" and said["model-index"][0]["name"] == "a: b, #é"


def test_a_network_that_only_has_the_name_of_a_shipped_one_is_given_no_licence(network, tmp_path):
    publish("resnet16-w16", tmp_path / "ours")
    publish(_like(network, tmp_path / "own", name="resnet16-w16"), tmp_path / "theirs")
    licences = ["license: mit" in (tmp_path / name / ABOUT).read_text() for name in ("ours", "theirs")]
    assert licences == [True, False]


class _Hub(http.server.BaseHTTPRequestHandler):
    """As much of Hugging Face's hub as a download asks for."""

    folder = None

    def do_GET(self):
        parts = self.path.split("?")[0].strip("/").split("/")
        if parts[:5] == ["api", "models", "owner", "small", "tree"]:
            tree = [
                {"type": "file", "path": path.name, "size": path.stat().st_size, "oid": COMMIT}
                for path in self.folder.iterdir()
            ]
            content, more = json.dumps(tree).encode(), {}
        elif parts[:4] == ["api", "models", "owner", "small"]:
            files = [{"rfilename": path.name} for path in self.folder.iterdir()]
            content, more = json.dumps({"id": "owner/small", "sha": COMMIT, "siblings": files}).encode(), {}
        elif parts[:3] == ["owner", "small", "resolve"] and (self.folder / parts[-1]).is_file():
            content = (self.folder / parts[-1]).read_bytes()
            more = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": COMMIT}
        else:
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.end_headers()
            return
        self.send_response(200)
        for name, value in {"Content-Length": str(len(content)), **more}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    do_HEAD = do_GET

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def hub(published, monkeypatch):
    monkeypatch.setattr(_Hub, "folder", published)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_network_comes_from_a_hub(hub, published, gw150914_files, tmp_path):
    pytest.importorskip("huggingface_hub", reason="HUGGINGFACE_HUB ABSENT; this check did not run")
    env = {"HF_ENDPOINT": hub, "HF_HOME": str(tmp_path / "cache"), "HF_HUB_DISABLE_XET": "1"}
    search = ("-m", "keras_gw_resnet", "search", "hf://owner/small", *gw150914_files, "--output")
    done = run_command(*search, tmp_path / "e.hdf", env=env)
    assert done.returncode == 0, done.stderr
    assert "with small" in done.stdout and "Fetching" not in done.stderr
    assert_refused(
        run_command(*search[:3], "hf://owner/none", *search[4:], tmp_path / "f.hdf", env=env),
        "hf://owner/none",
        "cannot be fetched",
    )
    # What was fetched before serves when the hub is gone.
    again = run_command(*search, tmp_path / "g.hdf", env={**env, "HF_HUB_OFFLINE": "1"})
    assert again.returncode == 0, again.stderr
    elsewhere = {**env, "HF_ENDPOINT": "nonsense"}
    refused = run_command(*search, tmp_path / "h.hdf", env=elsewhere)
    assert_refused(refused, "hf://owner/small: cannot be fetched", "http")
    keras_alone = (
        "import sys, keras; sys.modules['keras_gw_resnet'] = None\n"
        "print(keras.saving.load_model('hf://owner/small', safe_mode=True).count_params())"
    )
    done = run_command("-c", keras_alone, env=env)
    assert done.stdout.strip() == str(load_card(published)["parameters"]), done.stderr


def test_without_huggingface_hub_it_is_asked_for(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(InputError, match=r"hf://owner/net: takes huggingface_hub; pip install huggingface_hub"):
        fetched("hf://owner/net")
