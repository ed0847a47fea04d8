"""Archives, cards, texts, journals and records that are damaged or hostile, one input of each kind."""

import gzip
import io
import json
import shutil
import zipfile

import h5py
import numpy as np
import pytest

from keras_gw_resnet import InputError, build_model
from keras_gw_resnet.archives import check_archive
from keras_gw_resnet.datasets.hard import HardNoise
from keras_gw_resnet.datasets.windows import open_windows
from keras_gw_resnet.errors import LONGEST
from keras_gw_resnet.models.weights import load_archive
from keras_gw_resnet.search.journal import Journal, forget
from keras_gw_resnet.simulation.bank import load_bank
from keras_gw_resnet.simulation.populations import get_population
from keras_gw_resnet.simulation.psds import load_psd
from keras_gw_resnet.strain.quality import read_vetoes
from keras_gw_resnet.training.checkpoint import last_checkpoint, load_checkpoint
from tests.conftest import assert_refused, run_commands


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    path = tmp_path_factory.mktemp("network") / "epoch-0001.keras"
    model = build_model("resnet16", width=2, input_shape=(512, 2))
    model.compile("adam", "binary_crossentropy")
    model.save(path)
    state = {"history": [{"epoch": 1, "loss": 0.5}], "seeds": {}}
    path.with_suffix(".json").write_text(json.dumps(state))
    return path


def changed(network, path, **members):
    """Copy a network with other members: bytes, or functions of the bytes."""
    with zipfile.ZipFile(network) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            member = members.pop(name, old.read(name))
            new.writestr(name, member(old.read(name)) if callable(member) else member)
        for name, member in members.items():
            new.writestr(name, member)
    return path


def config(old, **values):
    """Give the first convolution of a configuration other values."""
    found = json.loads(old)
    layer = next(layer for layer in found["config"]["layers"] if layer["class_name"] == "Conv1D")
    layer["config"].update(values)
    return json.dumps(found)


def bomb(_):
    file = io.BytesIO()
    with h5py.File(file, "w") as weights:
        weights.create_dataset("x", (1 << 40,), "f4", chunks=(1 << 20,), compression="gzip")
    return file.getvalue()


def linked(_):
    file = io.BytesIO()
    with h5py.File(file, "w") as weights:
        weights["x"] = h5py.ExternalLink("/etc/passwd", "/")
    return file.getvalue()


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"config.json": b"{"}, "is no JSON"),
        ({"config.json": b"[" * 100_000}, "is no JSON"),
        ({"config.json": b"[" * 500 + b"]" * 500}, "nested more than"),
        ({"config.json": b"[]"}, "no configuration"),
        ({"config.json": b'"' + b" " * (1 << 26) + b'"'}, "has more than 34 MB"),
        ({"config.json": lambda old: config(old, filters=10**9)}, "asks for .*1000000000"),
        ({"config.json": lambda old: config(old, kernel_size=[10**6])}, "asks for .*1000000"),
        ({"config.json": lambda old: config(old, strides=[10**12])}, r"strides = 1e\+12"),
        ({"config.json": lambda old: config(old, filters="many")}, "Keras cannot load it"),
        ({"config.json": lambda old: config(old, data_format=5)}, "Keras cannot load it"),
        ({"model.weights.h5": b"nothing"}, "damaged"),
        ({"model.weights.h5": bomb}, "declares .* more than the file"),
        ({"model.weights.h5": linked}, "is a link"),
        ({"../x": b""}, r"a part called '\.\./x'"),
        ({"/x": b""}, "a part called '/x'"),
        ({"zeros": bytes((1 << 27) + 1)}, "declares .* bytes in"),
    ],
)
def test_hostile_archives(network, tmp_path, members, message):
    with pytest.raises(InputError, match=message) as error:
        load_archive(changed(network, tmp_path / "m.keras", **members))
    assert str(tmp_path) in str(error.value)


def test_damaged_archives(network, tmp_path):
    content = network.read_bytes()
    path = tmp_path / "epoch-0001.keras"
    shutil.copy(network.with_suffix(".json"), path.with_suffix(".json"))
    for damaged in (b"", content[:100], content[: len(content) // 2], content.replace(b"PK\x03\x04", b"PK\x03\x05")):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="damaged"):
            check_archive(path)
        with pytest.raises(InputError, match="damaged checkpoint; start afresh with --overwrite"):
            load_checkpoint(path)
    for at in range(300, len(content), len(content) // 20):
        path.write_bytes(content[:at] + bytes([content[at] ^ 0x55]) + content[at + 1 :])
        try:
            check_archive(path)
        except InputError as error:
            assert str(path) in str(error)


@pytest.mark.parametrize(
    "state",
    [
        "[]",
        "{",
        "null",
        '{"history": {}, "seeds": {}}',
        '{"history": [], "seeds": {}}',
        '{"history": [[1]], "seeds": {}}',
        "[" * 5000,
        '{"history": [{"epoch": 2}], "seeds": {}}',
        '{"history": [{"epoch": 1, "loss": "x"}], "seeds": {}}',
        '{"seeds": 5}',
    ],
)
def test_states_of_the_wrong_shape(network, tmp_path, state):
    path = shutil.copy(network, tmp_path / network.name)
    (tmp_path / "epoch-0001.json").write_text(state)
    (tmp_path / "epoch-last.keras").touch()
    assert last_checkpoint(tmp_path) == (1, path)
    with pytest.raises(InputError, match="damaged checkpoint"):
        load_checkpoint(path)


ALIASES = "a: &a [x, x, x]\n" + "".join(
    f"{new}: &{new} [*{old}, *{old}, *{old}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (ALIASES.encode(), "has YAML aliases"),
        (b"base: p.yaml", "is its own base"),
        (b"base: [1, 2]", "expected a name"),
        ("base: set3".encode("utf-16"), "no text in UTF-8"),
        (b"\xff\xfe\x00", "no text in UTF-8"),
        (b"[" * 5000, "does not describe a population"),
        (b"base: set3\nspin_max: [1]", "spin_max is"),
        (b"base: set3\nname: {}", "name is"),
        (b"base: set3\nmass_range: [.inf, .nan]", "mass_range"),
        (b"base: set3\n" + b"x" * 10**3 + b": 1", "unknown field|YAML|describe"),
        (b" " * (1 << 21), "has more than 1 MB"),
    ],
)
def test_hostile_populations(tmp_path, monkeypatch, content, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.yaml").write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        get_population("p.yaml")
    assert len(str(error.value)) <= LONGEST


def test_hostile_texts(tmp_path):
    packed = gzip.compress(b"1000 1010\n" * 5000)
    (tmp_path / "good.gz").write_bytes(packed)
    assert read_vetoes([tmp_path / "good.gz"]).shape == (5000, 2)
    (tmp_path / "bom.txt").write_bytes(b"\xef\xbb\xbf10 20\n")
    assert read_vetoes([tmp_path / "bom.txt"]).tolist() == [[10, 20]]
    contents = {"cut.gz": packed[:-20], "odd.gz": packed[:50] + b"xxxxxxxx" + packed[60:], "plain.gz": b"10 20\n"}
    contents |= {
        "bomb.gz": gzip.compress(bytes(1 << 27)),
        "wide.txt": "10 20\n".encode("utf-16"),
        "long.txt": b"x" * 10**6,
    }
    contents |= {"cut.xz": b"\xfd7zXZ\x00\x00", "cut.bz2": b"BZh91AY"}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    for path in [*(tmp_path / name for name in contents), tmp_path, "/dev/zero", tmp_path / "nothing"]:
        with pytest.raises(InputError) as error:
            read_vetoes([path])
        assert str(error.value).startswith(str(path))
        with pytest.raises(InputError):
            load_psd(str(path), 0.25, 1024)


def test_files_that_declare_more_than_they_hold(tmp_path):
    for number, power in enumerate((30, 40, 50)):
        with h5py.File(tmp_path / f"w{number}.hdf", "w") as file:
            file.create_dataset("x", (1 << power - 8, 128, 2), "f4", chunks=(1, 128, 2), compression="gzip")
            file.create_dataset("y", (1 << power - 8,), "u1", chunks=(1 << 16,))
            file.attrs.update(detectors=["H1", "L1"], sample_rate=2048)
        with h5py.File(tmp_path / f"b{number}.hdf", "w") as file:
            for name in ("hplus", "hcross"):
                file.create_dataset(name, (1 << power - 10, 1024), "f4", chunks=(1, 1024))
            file["parameters/mass1"] = 1.0
            file["detectors/H1/location"] = np.ones(3)
            file.attrs.update(
                format="keras_gw_resnet waveform bank 1", sample_rate=2048, merger_sample=9, seed=1, population="x"
            )
        with h5py.File(tmp_path / f"p{number}.hdf", "w") as file:
            file.create_dataset("data", (1 << power,), "f8", chunks=(1 << 16,)).attrs["delta_f"] = 0.25
        with pytest.raises(InputError, match="more than the file"):
            open_windows(tmp_path / f"w{number}.hdf")
        with pytest.raises(InputError, match="more than the file"):
            load_bank(tmp_path / f"b{number}.hdf")
        with pytest.raises(InputError, match="more than the file"):
            load_psd(str(tmp_path / f"p{number}.hdf"), 0.25, 1024)


def test_a_journal_that_is_a_link_is_not_followed(tmp_path):
    real, link = tmp_path / "real", tmp_path / ".e.hdf.unfinished"
    Journal(real, {"a": 1}).add(5.0, [])
    before = sorted(p.name for p in real.iterdir())
    link.symlink_to("real")
    for identity in ({"a": 1}, {"a": 2}):
        with pytest.raises(InputError, match="is a link or a file, not the folder of an unfinished search; remove it"):
            Journal(link, identity)
    forget(link)
    assert sorted(p.name for p in real.iterdir()) == before


def test_a_journal_in_another_encoding_is_of_another_search(tmp_path):
    folder = tmp_path / "j"
    for content in (b"\xff\xfe", b"[" * 5000, b"5"):
        folder.mkdir()
        (folder / "search.json").write_bytes(content)
        assert Journal(folder, {"a": 1}).finished() == {}
        assert not folder.exists()


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        "5",
        '{"a": [1]}',
        '{"1": 5}',
        '{"1": [5, 1]}',
        '{"1": [-1]}',
        '{"1": [1e9]}',
        '{"1": [1000]}',
        '{"-5": [1, 2]}',
    ],
)
def test_a_record_of_hard_noise_of_the_wrong_shape(tmp_path, content):
    (tmp_path / "hard.json").write_text(content)
    with pytest.raises(InputError, match="is damaged; start afresh with --overwrite"):
        HardNoise(None, seed=0, windows=100, steps_per_epoch=5).restore(tmp_path / "hard.json", 3)


def test_the_command_line_ends_in_one_short_line(tmp_path):
    (tmp_path / "bomb.yaml").write_text(f"{ALIASES}model: *h\n")
    (tmp_path / "wide.yaml").write_bytes(b"\xff\xfe")
    simulate = ("simulate", "bank", "--number", 1, "--output", tmp_path / "b.hdf", "--population")
    results = run_commands(
        [
            ("train", "--config", tmp_path / "bomb.yaml", "--out", tmp_path / "out"),
            ("train", "--config", tmp_path / "wide.yaml", "--out", tmp_path / "out"),
            (*simulate, tmp_path / "bomb.yaml"),
            ("statistics", "x" * 100_000, "--output", tmp_path / "s.json"),
            ("statistics", "/dev/zero", "--output", tmp_path / "s.json"),
            ("search", "y" * 100_000, "x", "--output", tmp_path / "e.hdf"),
        ]
    )
    for result in results:
        assert_refused(result)
        assert len(result.stderr) < LONGEST + 100
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bomb.yaml", "wide.yaml"]
