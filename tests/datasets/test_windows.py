import csv
import json
import shutil

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_gw_resnet import InputError
from keras_gw_resnet.datasets.g2net import import_g2net
from keras_gw_resnet.datasets.windows import LabelledWindows, check_windows, open_windows, split_windows
from keras_gw_resnet.training.config import TrainingConfig
from keras_gw_resnet.training.data import load_batches
from tests.conftest import assert_refused, run_command, run_commands


def write_g2net(folder, number=40, seed=0):
    """Write samples in the layout of the competition: noise of a steep spectrum, in every second one a loud burst."""
    rng = np.random.default_rng(seed)
    frequency = np.fft.rfftfreq(4096, 1 / 2048)
    colour = 1e-21 / np.maximum(frequency, 10) ** 1.5
    time = (np.arange(4096) - 3000) / 2048
    folder.mkdir(exist_ok=True)
    with (folder / "training_labels.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "target"])
        for number_of in range(number):
            name, label = f"{number_of:03x}ab12cd9"[::-1], number_of % 2
            strain = np.fft.irfft(np.fft.rfft(rng.normal(size=(3, 4096))) * colour)
            strain += label * 3e-23 * np.exp(-((time / 0.05) ** 2)) * np.cos(2 * np.pi * 60 * time)
            path = folder / "train" / name[0] / name[1] / name[2] / f"{name}.npy"
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, strain)
            writer.writerow([name, label])
    return folder


@pytest.fixture(scope="module")
def windows_file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("g2net")
    path = folder / "windows.hdf5"
    result = run_command("-m", "keras_gw_resnet", "import-g2net", write_g2net(folder / "raw"), "--output", path)
    assert result.returncode == 0, result.stderr
    assert "40 windows, 20 of them with a signal" in result.stdout
    return path


def test_g2net_becomes_white_windows(windows_file):
    header = open_windows(windows_file)
    assert (header.number, header.samples, header.detectors, header.sample_rate) == (40, 4096, ("H1", "L1", "V1"), 2048)
    with h5py.File(windows_file) as file:
        x, y = file["x"][()], file["y"][()]
    assert x.shape == (40, 4096, 3)
    noise = x[y == 0][:, 600:-600]
    assert noise.std() == pytest.approx(np.sqrt(1 - 20 / 1024), abs=0.03)
    spectrum = (np.abs(np.fft.rfft(noise * np.hanning(noise.shape[1])[:, None], axis=1)) ** 2).mean(axis=(0, 2))
    band = spectrum[100:1200].reshape(-1, 50).mean(axis=1)
    assert np.abs(band / band.mean() - 1).max() < 0.2
    loudest = np.argmax(np.abs(x[y == 1]).max(axis=2), axis=1)
    assert np.median(np.abs(loudest - 3000)) < 100


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 50), st.integers(0, 100))
def test_every_epoch_shows_every_window_once(windows_file, batch_size, seed):
    header = open_windows(windows_file)
    rows, _ = split_windows(header, 0.25, 0)
    batches = LabelledWindows(header, rows, batch_size=batch_size, seed=seed)
    shown = np.concatenate([batches.chosen(i) for i in range(-(-90 // batch_size))])
    for epoch in range(3):
        np.testing.assert_array_equal(np.sort(shown[30 * epoch : 30 * epoch + 30]), rows)


def test_a_batch_is_a_function_of_seed_and_index(windows_file):
    header = open_windows(windows_file)
    one, two = (LabelledWindows(header, np.arange(40), batch_size=8, seed=1) for _ in range(2))
    one[0]
    strain, label = two[3]
    np.testing.assert_array_equal(one[3][0], strain)
    assert (strain.shape, strain.dtype, label.shape) == ((8, 4096, 3), np.float32, (8, 1))
    with h5py.File(windows_file) as file:
        for row, window, mark in zip(two.chosen(3), strain, label[:, 0], strict=True):
            np.testing.assert_array_equal(file["x"][row], window)
            assert file["y"][row] == mark


def test_the_split_shares_no_window(windows_file):
    rows, held_out = split_windows(open_windows(windows_file), 0.1, 3)
    assert sorted([*rows, *held_out]) == list(range(40))
    assert len(held_out) == 4
    with pytest.raises(InputError, match="too few to hold out"):
        split_windows(open_windows(windows_file), 0.001, 3)


def test_a_network_trains_on_labelled_windows(windows_file, tmp_path):
    out, part = tmp_path / "net", tmp_path / "part.hdf5"
    with h5py.File(windows_file) as old, h5py.File(part, "w") as new:
        new.attrs.update(old.attrs)
        new["x"], new["y"] = old["x"][5:30], old["y"][5:30]
    train = ("train", "--model", "resnet16", "--data", windows_file, "--width", 4, "--out")
    size = ("--epochs", 2, "--steps-per-epoch", 3, "--batch-size", 16, "--validation-share", 0.25)
    with_positions = ("--options.pooling", "logsumexp", "--merger-tolerance", 0.02)
    trained, measured, strict, fewer, without_times = run_commands(
        [
            (*train, out, *size),
            ("evaluate", out, "--data", windows_file, "--output", tmp_path / "measured"),
            ("evaluate", out, "--data", part, "--output", tmp_path / "strict", "--strict"),
            (*train, tmp_path / "wrong", "--detectors", "H1", "L1"),
            (*train, tmp_path / "wrong", *with_positions),
        ]
    )
    assert trained.returncode == 0, trained.stderr
    assert "30 labelled windows" in trained.stdout
    assert "event times are not calibrated" in trained.stdout
    card = json.loads((out / "card.json").read_text())
    assert (card["detectors"], card["window_samples"]) == (["H1", "L1", "V1"], 4096)
    data = card["training"]["data"]
    assert (data["number"], data["held_out"], data["windows"]["file"]) == (30, 10, "windows.hdf5")
    assert (len(data["windows"]["trained_on"]), len(data["windows"]["held_out"])) == (30, 10)
    assert measured.returncode == 0, measured.stderr
    assert measured.stdout.startswith("NOTE: net knows these data: it was trained on the others of this file, the 10")
    assert_refused(strict, "trained on windows that are among these")
    result = json.loads((tmp_path / "measured" / "evaluation.json").read_text())
    assert result["signal_windows"] + result["noise_windows"] == 10
    assert 0 <= result["auc"] <= 1
    assert_refused(fewer, "windows.hdf5", "4096 samples of H1 L1 V1")
    assert_refused(without_times, "windows.hdf5", "do not say where a signal is", "--merger-tolerance 0")
    assert not (tmp_path / "wrong").exists()


def test_labelled_windows_have_no_waveforms_for_a_shortcut(windows_file):
    data = {"data": str(windows_file), "detectors": ("H1", "L1", "V1"), "window_samples": 4096}
    config = TrainingConfig.of(model="resnet16", **data, statistic_shortcut=0.5, statistic_templates=3)
    with pytest.raises(InputError, match=r"leave out --ranking\.templates"):
        load_batches(config)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda raw: (raw / "training_labels.csv").unlink(), "expected the G2Net folder"),
        (lambda raw: (raw / "training_labels.csv").write_text("a,b\n1,2\n"), "expected the columns id and target"),
        (lambda raw: (raw / "training_labels.csv").write_text("id,target\n"), "holds no labels"),
        (lambda raw: next(raw.rglob("*.npy")).unlink(), "training_labels.csv names it"),
        (lambda raw: next(raw.rglob("*.npy")).write_bytes(b"no array"), "is no array of strain"),
        (lambda raw: np.save(next(raw.rglob("*.npy")), np.ones((3, 100))), r"shape \(3, 100\)"),
        (lambda raw: np.save(next(raw.rglob("*.npy")), np.zeros((3, 4096))), "one value throughout"),
        (lambda raw: (raw / "training_labels.csv").write_text("id,target\n" + "9dc21ba000,0\n" * 2), "more than once"),
        (lambda raw: np.save(next(raw.rglob("*.npy")), np.full((3, 4096), np.nan)), "finite floats"),
    ],
)
def test_damaged_layouts_are_named(tmp_path, change, message):
    raw = write_g2net(tmp_path / "raw", number=4)
    change(raw)
    with pytest.raises(InputError, match=message):
        import_g2net(raw, tmp_path / "out.hdf5")
    assert not (tmp_path / "out.hdf5").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["raw"]


def test_files_that_hold_no_windows_are_named(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        open_windows(tmp_path / "none.hdf5")
    (tmp_path / "text.hdf5").write_text("no")
    with pytest.raises(InputError, match="no file of labelled windows"):
        open_windows(tmp_path / "text.hdf5")
    for name, x, y in (("flat", np.ones((4, 5)), np.ones(4)), ("labels", np.ones((4, 5, 2)), np.full(4, 7))):
        with h5py.File(tmp_path / f"{name}.hdf5", "w") as file:
            file["x"], file["y"] = x, y
            file.attrs.update(detectors=["H1", "L1"], sample_rate=2048)
        with pytest.raises(InputError, match="do not fit; expected x"):
            open_windows(tmp_path / f"{name}.hdf5")


def change(source, path, edit):
    with h5py.File(source) as old, h5py.File(path, "w") as new:
        new.attrs.update(old.attrs)
        x, y = edit(old["x"][()], old["y"][()])
        new["x"], new["y"] = x, y
    return path


def spoilt(x, y):
    x[:, 7, 1] = np.nan
    return x, y


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda x, y: (x, 0 * y), "no signal windows"),
        (lambda x, y: (x * 1e-21, y), "expected whitened strain"),
        (spoilt, r"window \d+ holds values that are not finite"),
    ],
)
def test_windows_that_teach_nothing_are_refused(windows_file, tmp_path, edit, message):
    header = open_windows(change(windows_file, tmp_path / "edited.hdf5", edit))
    with pytest.raises(InputError, match=rf"edited\.hdf5.*{message}"):
        check_windows(header, np.arange(header.number))


def test_labels_as_people_write_them(tmp_path):
    """With a byte-order mark, spaces after commas, targets as 1.0, blank lines; and ids of one character."""
    raw = write_g2net(tmp_path / "raw", number=4)
    import_g2net(raw, tmp_path / "plain.hdf5")
    labels = raw / "training_labels.csv"
    header, *rows = labels.read_text().splitlines()
    loose = [header.replace(",", ", "), *(row.replace(",", ", ") + ".0" for row in rows), "", " , "]
    labels.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(loose).encode())
    import_g2net(raw, tmp_path / "loose.hdf5")
    with h5py.File(tmp_path / "plain.hdf5") as one, h5py.File(tmp_path / "loose.hdf5") as two:
        for name in ("x", "y", "id"):
            np.testing.assert_array_equal(one[name][()], two[name][()])
    first = rows[0].partition(",")[0]
    (raw / "train" / "z").mkdir()
    shutil.copy(next(raw.rglob(f"{first}.npy")), raw / "train" / "z" / "z.npy")
    labels.write_text("\n".join([header, *rows, "z,0"]))
    assert import_g2net(raw, tmp_path / "short.hdf5") == (5, 2)
    for name, message in (
        ("q", "names it"),
        ("../x", "expected letters and digits"),
        ("", "expected letters and digits"),
    ):
        labels.write_text("\n".join([header, *rows, f"{name},0"]))
        with pytest.raises(InputError, match=message):
            import_g2net(raw, tmp_path / "bad.hdf5")
