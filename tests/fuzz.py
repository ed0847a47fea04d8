"""Damaged and hostile files for every reader: each ends in InputError or in a finite result, soon and in little memory.

Run by itself, so that its memory can be measured: python -m tests.fuzz EXAMPLES READER...
"""

import gzip
import io
import json
import re
import resource
import shutil
import struct
import sys
import tempfile
import time
import warnings
import zipfile
from pathlib import Path

import h5py
import numpy as np
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keras_gw_resnet import InputError

SECONDS, BYTES = 20.0, 2 << 30
RNG = np.random.default_rng(0)
ODD_NUMBERS = [-1, 0, 1, 2**30, 2**31, 2**50, 10**400, -0.5, 1e300, float("nan"), float("inf"), True]
ODD = [*ODD_NUMBERS, None, "", "../../x", "x" * 100_000, [], {}, [[]] * 5, {"a": {"b": []}}, ["H1"] * 1000]
WORDS = [struct.pack("<Q", n) for n in (0, 1, 2**15, 2**30, 2**40, 2**63, 2**64 - 1)]


def assert_finite(*arrays):
    for array in arrays:
        assert np.all(np.isfinite(array)), array


# What the readers are given, by name: (a good file in an empty folder, the reader).


def strain_gwosc(path):
    from keras_gw_resnet.strain.writers import write_gwosc

    write_gwosc(path, "H1", 1000, 2048, RNG.normal(size=8 * 2048), "SIMULATED")


def strain_mlgwsc(path):
    from keras_gw_resnet.strain.writers import mlgwsc1_file

    with mlgwsc1_file(path, ["H1"], 2048, seed=1) as add:
        add("H1", 1000, RNG.normal(size=4 * 2048))
        add("H1", 2000, RNG.normal(size=4 * 2048))


def strain_gwpy(path):
    with h5py.File(path, "w") as file:
        for name, unit in (("H1:GDS-CALIB_STRAIN", "strain"), ("H1:PEM-MIC", "V")):
            file[name] = RNG.normal(size=4 * 2048)
            file[name].attrs.update(x0=1e9, dx=1 / 2048, xunit="s", unit=unit, name=name, channel=name)


def read_strain(path):
    from keras_gw_resnet.strain.files import find_segments, read_segment

    for header in find_segments(path):
        segment = read_segment(header, 0, min(header.samples, 256 * round(header.sample_rate)))
        assert_finite(segment.strain[segment.valid], header.gps_start, header.gps_stop, header.sample_rate)


def windows(path):
    from keras_gw_resnet.datasets.windows import write_windows

    label = np.arange(20) % 2
    write_windows(path, RNG.normal(size=(20, 64, 2)), label, detectors=["H1", "L1"], sample_rate=2048, source="x")


def read_windows(path):
    from keras_gw_resnet.datasets.windows import LabelledWindows, check_windows, open_windows

    header = open_windows(path)
    rows = np.arange(header.number)
    if header.number:
        check_windows(header, rows)
        assert_finite(*LabelledWindows(header, rows, batch_size=4, seed=0)[0])
        header.hashes(rows[:2])


def bank(path):
    from keras_gw_resnet.simulation.bank import WaveformBank, save_bank
    from keras_gw_resnet.simulation.detectors import Geometry

    detectors = {name: Geometry(name, np.ones(3), np.eye(3)) for name in ("H1", "L1")}
    waveforms = RNG.normal(size=(2, 4, 256)).astype(np.float32) * 1e-21
    save_bank(WaveformBank(*waveforms, {"mass1": np.ones(4)}, 2048, 200, detectors, "set1", 1), path)


def read_bank(path):
    from keras_gw_resnet.simulation.bank import is_bank, load_bank

    is_bank(path)
    found = load_bank(path)
    assert_finite(found.hplus, found.hcross, *found.parameters.values())
    found.fingerprint()


def psd(path):
    with h5py.File(path, "w") as file:
        file["data"] = np.full(4097, 1e-46)
        file["data"].attrs["delta_f"] = 0.25


def psd_text(path):
    np.savetxt(path, np.stack([np.arange(4097) * 0.25, np.full(4097, 1e-46)], axis=-1)[::16])


def read_psd(path):
    from keras_gw_resnet.simulation.psds import load_psd

    with np.errstate(all="ignore"):
        assert_finite(load_psd(path, 0.25, 1000.0))


def injections(path):
    with h5py.File(path, "w") as file:
        for name in ("tc", "mchirp", "distance", "chirp_distance"):
            file[name] = RNG.uniform(1, 2, size=50)


def read_injections(path):
    from keras_gw_resnet.simulation.injections import read_injections as read

    assert_finite(*read(path).values())


CARD = {
    **{"name": "small", "model": "resnet16", "options": {"width": 4}, "sample_rate": 2048, "detectors": ["H1", "L1"]},
    **{"window_samples": 2048, "sha256": "0" * 64, "signals": {"stat": [1.0, 2.0]}, "metrics": {}},
    "whitening": {"sample_rate": 2048, "low_frequency": 20.0, "filter_seconds": 4.0, "psd_seconds": 512.0},
    "timing": {"merger_seconds": 0.7, "tolerance_seconds": 0.3, "signals": 100},
    "training": {"config": {"seed": 1}, "data": {"gps_intervals": [[1.0, 2.0, "measured"]]}, "begun_with": {}},
}


def background(path):
    with h5py.File(path, "w") as file:
        file["stat"], file["time_H1"], file["time_L1"] = RNG.normal(size=(3, 100))
        file.attrs.update(searched_seconds=1e5, model_sha256="0" * 64, threshold=-4.0, precision="float32")


def read_background(path):
    from keras_gw_resnet.search.background import read_background as read

    found = read(path, CARD, -4.0, "float32")
    assert_finite(found.stat, found.time, found.seconds)


def vetoes(path):
    path.write_text("# start stop\n" + "\n".join(f"{1000 + 10 * i}.5 {1005 + 10 * i}" for i in range(50)))


def vetoes_packed(path):
    path.write_bytes(gzip.compress(b"1000 1010\n" * 500, mtime=0))


def read_vetoes(path):
    from keras_gw_resnet.strain.quality import read_vetoes as read

    read([path])


def population(path):
    path.write_text(yaml.safe_dump({"base": "set3", "mass_range": [5, 80], "spin_max": 0.5, "modes": [[2, 2], [3, 3]]}))


def read_population(path):
    from keras_gw_resnet.simulation.populations import draw, get_population

    assert_finite(*draw(get_population(path), 3, RNG).values())


def card(path):
    (path.parent / "model.keras").touch()
    path.write_text(json.dumps(CARD))


def read_card(path):
    from keras_gw_resnet.evaluation.leakage import seen_in_training
    from keras_gw_resnet.strain.conditioning import Whitening
    from keras_gw_resnet.zoo import load_card

    found = load_card(path.parent)
    seen_in_training(found, [[0.0, 10.0, "measured"]])
    assert_finite(found["timing"]["merger_seconds"], Whitening(**found["whitening"]).filter_samples)


LAYER = {"name": "conv", "filters": 4, "kernel_size": [3], "seed": 5}


def archive(path):
    weights = io.BytesIO()
    with h5py.File(weights, "w") as file:
        file["layers/conv/vars/0"], file["layers/conv/vars/1"] = np.ones((3, 2, 4), np.float32), np.ones(4, np.float32)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("metadata.json", '{"keras_version": "3.0"}')
        file.writestr(
            "config.json", json.dumps({"class_name": "Functional", "config": {"layers": [{"config": LAYER}]}})
        )
        file.writestr("model.weights.h5", weights.getvalue())


def read_archive(path):
    from keras_gw_resnet.archives import check_archive

    check_archive(path)


class Loudness:
    """In place of a network's scanner: the loudest of both detectors' whitened strain, every 16 samples."""

    stride, reach, exact, slides, window_samples, in_pieces = 16, 1, True, True, 2048, False

    def scan_arranged(self, strain, arrangements, progress=None, above=None):
        from keras_gw_resnet.search.background import arranged
        from keras_gw_resnet.search.scan import Scan

        for shifts in arrangements:
            scores = np.abs(arranged(strain, shifts)).sum(axis=1)[: -2048 : self.stride].astype(np.float32)
            yield Scan(scores, scores, 1)

    def difference(self, strain, scores, above=None):
        return float(scores.max())


class Unfinished:
    """A search that was stopped after two of its three chunks, and what it finds when nothing is wrong."""

    def __init__(self):
        from keras_gw_resnet.search.detector import Detector
        from keras_gw_resnet.strain import stretches
        from keras_gw_resnet.strain.conditioning import Whitening
        from keras_gw_resnet.strain.writers import mlgwsc1_file

        stretches.CHUNK_SECONDS = 24
        self.holder = tempfile.TemporaryDirectory()
        self.strain, self.journal = Path(self.holder.name) / "strain.hdf", Path(self.holder.name) / "journal"
        with mlgwsc1_file(self.strain, ["H1", "L1"], 2048) as add:
            for detector in ("H1", "L1"):
                add(detector, 1000, RNG.normal(size=72 * 2048) * 1e-21)
        network = Detector.__new__(Detector)
        network.card, network.name, network.detectors, network.precision = CARD, "loudness", ("H1", "L1"), "float32"
        network.window_samples, network.sample_rate, network.whitening = 2048, 2048, Whitening(**CARD["whitening"])
        network.scanner, network.stride_seconds = Loudness(), Loudness.stride / 2048
        self.network = network
        self.whole = self.search(None)
        assert len(self.whole["time"]) > 20
        self.search(self.journal)
        sorted(self.journal.glob("chunk-*"))[-1].unlink()

    def search(self, journal):
        from keras_gw_resnet.search.search import search

        (found,) = search([self.network], [self.strain], threshold=4.5, slides=2, alone=True, journal=journal)
        return found.to_arrays()


UNFINISHED = []


def unfinished():
    if not UNFINISHED:
        UNFINISHED.append(Unfinished())
    return UNFINISHED[0]


def journal(path):
    shutil.copytree(unfinished().journal, path.parent / "kept")
    shutil.copy(sorted(unfinished().journal.glob("chunk-*"))[0], path)


def identity(path):
    shutil.copytree(unfinished().journal, path.parent / "kept")
    shutil.copy(unfinished().journal / path.name, path)


def read_journal(path):
    """Go on with a search of which one file is damaged: it ends as if it had not been."""
    place = path.parent / "kept"
    chunk = sorted(place.glob("chunk-*"))[0]
    shutil.copy(path, place / path.name if path.suffix == ".json" else chunk)
    found, whole = unfinished().search(place), unfinished().whole
    assert sorted(found) == sorted(whole)
    for name, value in whole.items():
        np.testing.assert_array_equal(found[name], value, name)


def hard(path):
    path.write_text(json.dumps({"1": [1, 5, 9], "2": [0, 3]}))


def read_hard(path):
    from keras_gw_resnet.datasets.hard import HardNoise

    class Noise:
        def draw(self, rng, number):
            return rng.normal(size=(number, 4, 2)), None

    HardNoise(Noise(), seed=0, windows=100, steps_per_epoch=5).restore(path, 3)


def config():
    from keras_gw_resnet.training.config import TrainingConfig

    return TrainingConfig.of(model="resnet18", data="x", detectors=("H1",), window_samples=2048)


def run(path):
    path.write_text(json.dumps({**config().to_dict(), "backend": "tensorflow"}))


def read_run(path):
    from keras_gw_resnet.training.folder import check_folder

    check_folder(config(), path.parent)


def labels(path):
    names = [f"{i:03x}" for i in range(6)]
    path.write_text("id,target\n" + "\n".join(f"{name},{i % 2}" for i, name in enumerate(names)))
    for name in names:
        sample = path.parent / "train" / name[0] / name[1] / name[2] / f"{name}.npy"
        sample.parent.mkdir(parents=True, exist_ok=True)
        np.save(sample, RNG.normal(size=(3, 4096)))


def sample(path):
    labels(path.parent / "training_labels.csv")
    shutil.copy(path.parent / "train" / "0" / "0" / "0" / "000.npy", path)


def read_g2net(path):
    from keras_gw_resnet.datasets.g2net import import_g2net

    if path.suffix == ".npy":
        shutil.copy(path, path.parent / "train" / "0" / "0" / "0" / "000.npy")
    import_g2net(path.parent, path.parent / "out.hdf")
    with h5py.File(path.parent / "out.hdf") as file:
        assert_finite(file["x"][()])


READERS = {
    "gwosc": ("H1.hdf5", strain_gwosc, read_strain),
    "mlgwsc": ("s.hdf", strain_mlgwsc, read_strain),
    "gwpy": ("s.h5", strain_gwpy, read_strain),
    "windows": ("w.hdf", windows, read_windows),
    "bank": ("bank.hdf", bank, read_bank),
    "psd": ("psd.hdf", psd, read_psd),
    "psd text": ("psd.txt", psd_text, read_psd),
    "injections": ("i.hdf", injections, read_injections),
    "background": ("b.hdf", background, read_background),
    "vetoes": ("v.txt", vetoes, read_vetoes),
    "packed vetoes": ("v.txt.gz", vetoes_packed, read_vetoes),
    "population": ("p.yaml", population, read_population),
    "card": ("card.json", card, read_card),
    "archive": ("m.keras", archive, read_archive),
    "journal": ("c.npz", journal, read_journal),
    "journal's identity": ("search.json", identity, read_journal),
    "hard": ("hard.json", hard, read_hard),
    "run": ("config.json", run, read_run),
    "labels": ("training_labels.csv", labels, read_g2net),
    "sample": ("one.npy", sample, read_g2net),
}


def network(path):
    import keras

    from keras_gw_resnet import build_model

    model = build_model("resnet16", width=2, input_shape=(512, 2))
    model.compile("adam", "binary_crossentropy")
    model.save(path)
    path.with_suffix(".json").write_text(json.dumps({"history": [{"epoch": 1, "loss": 0.5}], "seeds": {}}))
    keras.backend.clear_session()


def read_network(path):
    from keras_gw_resnet.models.weights import load_archive

    model = load_archive(path)
    assert_finite(*(np.shape(weight) for weight in model.get_weights()))


def read_checkpoint(path):
    from keras_gw_resnet.training.checkpoint import last_checkpoint, load_checkpoint

    assert last_checkpoint(path.parent)[0] == 1
    _, history = load_checkpoint(path)
    assert [row["epoch"] for row in history] == [1]


# These start Keras, which takes more memory than all else.
READERS_WITH_KERAS = {
    "network": ("model.keras", network, read_network),
    "checkpoint": ("epoch-0001.keras", network, read_checkpoint),
}

# Ways to damage a file: each takes its bytes and a source of choices.


def damaged_bytes(data, content):
    content = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, max(0, len(content) - 1)))
        kind = data.draw(st.sampled_from(["bit", "word", "cut", "drop", "repeat", "bytes"]))
        if kind == "bit" and content:
            content[at] ^= 1 << data.draw(st.integers(0, 7))
        elif kind == "word":
            content[at : at + 8] = data.draw(st.sampled_from(WORDS))
        elif kind == "cut":
            del content[at:]
        elif kind == "drop":
            del content[at : at + data.draw(st.integers(1, 200))]
        elif kind == "repeat":
            content[at:at] = content[max(0, at - 100) : at] * data.draw(st.integers(1, 20))
        else:
            content[at:at] = data.draw(st.binary(max_size=20))
    return bytes(content)


def damaged_values(data, value):
    """Replace one value somewhere in lists and dictionaries by an odd one."""
    if isinstance(value, dict) and value and data.draw(st.integers(0, 9)):
        name = data.draw(st.sampled_from(sorted(value)))
        return {**value, name: damaged_values(data, value[name])}
    if isinstance(value, list) and value and data.draw(st.integers(0, 9)):
        at = data.draw(st.integers(0, len(value) - 1))
        return [*value[:at], damaged_values(data, value[at]), *value[at + 1 :]]
    return data.draw(st.sampled_from(ODD))


def damaged_hdf5(data, path):
    """Change an attribute, or put another dataset or link in the place of one."""
    with h5py.File(path, "r+") as file:
        entries = [("/", file)]
        file.visititems(lambda name, entry: entries.append((name, entry)))
        name, entry = data.draw(st.sampled_from(entries))
        if entry.attrs and data.draw(st.booleans()):
            odd = [*(n for n in ODD_NUMBERS if n != 10**400), "", b"\xff", "x" * 60000, np.ones(1000), np.ones((0,))]
            entry.attrs[data.draw(st.sampled_from(sorted(entry.attrs)))] = data.draw(st.sampled_from(odd))
            return
        if name == "/":
            return
        attributes = dict(entry.attrs)
        del file[name]
        kind = data.draw(st.sampled_from(["declared", "type", "shape", "group", "soft", "external", "outside", "none"]))
        if kind == "declared":
            shape = (1 << data.draw(st.integers(10, 50)),)
            chunks = data.draw(st.sampled_from([None, (1 << 10,), (min(shape[0], 1 << 28),)]))
            file.create_dataset(name, shape, data.draw(st.sampled_from(["f8", "f4", "u4", "S4"])), chunks=chunks)
        elif kind == "type":
            values = [np.ones(100, complex), np.array([b"x"] * 100), np.ones(100, bool), np.ones(100, np.int64), "text"]
            file[name] = data.draw(st.sampled_from(values))
        elif kind == "shape":
            file[name] = np.ones(data.draw(st.sampled_from([(), (0,), (1,), (3, 3), (2, 2, 2), (100,)])))
        elif kind == "group":
            file.create_group(name)["inner"] = 1.0
        elif kind == "soft":
            file[name] = h5py.SoftLink(data.draw(st.sampled_from(["/", "/nothing", f"/{name}"])))
        elif kind == "external":
            target = data.draw(st.sampled_from([path.name, "nothing.hdf", "/dev/zero", "/etc/passwd"]))
            file[name] = h5py.ExternalLink(target, "/")
        elif kind == "outside":
            file.create_dataset(name, (100,), "f8", external=[("/etc/passwd", 0, 800)])
        if kind in ("declared", "type", "shape", "outside"):
            for key, value in attributes.items():
                file[name].attrs[key] = value


def damaged_zip(data, path):
    """Damage one member of an archive, and pack it again."""
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    name = data.draw(st.sampled_from(sorted(members)))
    if name.endswith(".json"):
        members[name] = json.dumps(damaged_values(data, json.loads(members[name]))).encode()
    else:
        members[name] = damaged_bytes(data, members[name])
    if data.draw(st.integers(0, 4)) == 0:
        members[data.draw(st.sampled_from(["../x", "/x", "zeros"]))] = bytes(1 << 22)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for member, content in members.items():
            file.writestr(member, content)


def damage(data, path):
    kind = data.draw(st.sampled_from(["bytes", "inside"]))
    if kind == "bytes" or path.suffix in (".txt", ".gz", ".csv", ".npy"):
        path.write_bytes(damaged_bytes(data, path.read_bytes()))
    elif path.suffix in (".keras", ".npz"):
        damaged_zip(data, path)
    elif path.suffix == ".json":
        path.write_text(json.dumps(damaged_values(data, json.loads(path.read_text()))))
    elif path.suffix == ".yaml":
        odd = damaged_values(data, yaml.safe_load(path.read_text()))
        path.write_text(yaml.safe_dump(odd) if data.draw(st.booleans()) else f"{'[' * 500}{odd}")
    else:
        damaged_hdf5(data, path)


def most_memory():
    """The most memory that this process has held, in bytes; `ru_maxrss` counts that of the process which started it, too."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", status.read_text())[1])


def fuzz(reader, examples):
    """Give damaged files to a reader.

    Returns:
        Tuple (how many were read, how many refused).
    """
    name, write, read = (READERS | READERS_WITH_KERAS)[reader]
    counts = [0, 0]
    with tempfile.TemporaryDirectory() as folder:
        good = Path(folder) / "good"
        good.mkdir()
        write(good / name)
        read(good / name)
        # What reading left is no part of the good file.
        shutil.rmtree(good)
        good.mkdir()
        write(good / name)

        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            derandomize=examples < 100,
            suppress_health_check=list(HealthCheck),
        )
        @given(st.data())
        def try_one(data):
            with tempfile.TemporaryDirectory() as copy:
                path = Path(shutil.copytree(good, Path(copy) / "copy")) / name
                damage(data, path)
                started = time.monotonic()
                try:
                    read(path)
                    counts[0] += 1
                except InputError as error:
                    counts[1] += 1
                    assert len(str(error)) <= 300, error
                    assert "\n" not in str(error), error
                assert time.monotonic() - started < SECONDS
                assert most_memory() < BYTES

        try_one()
    return counts


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    for one in sys.argv[2:] or READERS:
        print(one, *fuzz(one, int(sys.argv[1])), flush=True)
