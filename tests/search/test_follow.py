"""Strain that arrives a few seconds at a time: every event once, soon, whatever happens to files, folder and process."""

import json
import shutil

import keras
import numpy as np
import pytest
from keras import layers

from keras_gw_resnet import Detector, InputError
from keras_gw_resnet.cli import main
from keras_gw_resnet.search import follow as module
from keras_gw_resnet.search.follow import Follower, follow
from keras_gw_resnet.search.told import Told
from keras_gw_resnet.strain import arrivals
from keras_gw_resnet.strain.arrivals import UNREADABLE_SECONDS, Arrivals
from keras_gw_resnet.strain.writers import mlgwsc1_file, write_gwosc
from tests.test_zoo import CARD

RATE, START, SECONDS = 2048, 1_000_000_000, 56
# Near the edges of files and of steps.
BURSTS = np.array([20.03, 25.98, 30.5, 33.0, 41.01, 44.99, 47.4]) + START


@pytest.fixture(scope="module")
def network():
    """A network that measures the power in the middle 1/16 s of its window: noise gives -6, a burst of both detectors 100."""
    strain = keras.Input((2048, 2))
    power = layers.GlobalAveragePooling1D()(layers.Cropping1D(960)(strain * strain))
    score = layers.Dense(1)
    model = keras.Model(strain, score(power))
    score.set_weights([np.full((2, 1), 2.0), np.array([-10.0])])
    return Detector(model, {**CARD, "sha256": "0" * 64, "timing": {"merger_seconds": 0.5, "tolerance_seconds": 0.1}})


@pytest.fixture(scope="module")
def strain():
    rng, time = np.random.default_rng(0), np.arange(SECONDS * RATE) / RATE + START
    bursts = sum(np.exp(-(((time - at) / 0.02) ** 2)) * np.sin(2 * np.pi * 200 * (time - at)) for at in BURSTS)
    return {name: 1e-21 * (rng.normal(size=len(time)) + 15 * bursts) for name in ("H1", "L1")}


def write(folder, strain, first, last, names=("H1", "L1")):
    for name in names:
        path = folder / f"{name[0]}-{name}_X-{START + first}-{last - first}.hdf5"
        write_gwosc(path, name, START + first, RATE, strain[name][first * RATE : last * RATE], "simulated")


class Room:
    """A folder with what follows it, and a clock that is set."""

    def __init__(self, path, network, **options):
        self.folder, self.output, self.said, self.now = path / "in", path / "out.jsonl", [], 0.0
        self.folder.mkdir(exist_ok=True)
        self.network, self.options = network, {"threshold": 5.0, "slides": 0, **options}
        self.start()

    def start(self):
        watch = {"say": self.said.append, "clock": lambda: self.now}
        files, told = Arrivals(self.folder, self.network.detectors, **watch), Told(self.output, self.network)
        self.follower = Follower(self.network, files, told, **self.options, **watch)

    def poll(self, seconds=1.0):
        self.now += seconds
        return list(self.follower.poll())

    def kept(self):
        return [json.loads(line) for line in self.output.read_text().splitlines()]


def assert_all_once(events, bursts=BURSTS):
    assert len(events) == len(bursts), [event["time"] - START for event in events]
    np.testing.assert_allclose([event["time"] for event in events], bursts, atol=0.05)


@pytest.mark.parametrize("seconds", [1, 4])
def test_events_are_told_once_and_soon(network, strain, tmp_path, seconds):
    room, told = Room(tmp_path, network), []
    for first in range(0, SECONDS, seconds):
        write(room.folder, strain, first, first + seconds)
        for event in room.poll():
            # Whitening takes 2 s, a window half a second, a cluster 1 s; a file ends when it ends.
            assert event["strain_to"] - event["time"] < 3.7 + seconds
            told.append(event)
    assert_all_once(told)
    assert room.kept() == told and not room.said
    assert {"stat_H1", "stat_L1", "one_detector", "catalogue", "gated"} <= set(told[0]) and "far" not in told[0]
    searched = {event["time"] for event in network.events(room.folder, 5.0)}
    np.testing.assert_allclose(sorted(searched), BURSTS, atol=0.05)


def test_one_long_file_and_a_detector_that_lags(network, strain, tmp_path):
    room = Room(tmp_path, network)
    write(room.folder, strain, 0, SECONDS, ["H1"])
    assert room.poll() == []
    told = []
    for first in range(0, SECONDS, 8):
        write(room.folder, strain, first, first + 8, ["L1"])
        told += room.poll()
    assert_all_once(told)


def test_killed_at_any_moment_nothing_is_lost_and_nothing_told_twice(network, strain, tmp_path, monkeypatch):
    room, keep = Room(tmp_path, network), Told.keep
    for number, first in enumerate(range(0, SECONDS, 4)):
        write(room.folder, strain, first, first + 4)
        if number % 2:  # after events were told, before it is kept how far the search came
            monkeypatch.setattr(Told, "keep", lambda *given: (_ for _ in ()).throw(KeyboardInterrupt))
            try:
                room.poll()
            except KeyboardInterrupt:
                monkeypatch.setattr(Told, "keep", keep)
                with room.output.open("a") as file:
                    file.write('{"time": 10000')  # half a line
                room.start()
            monkeypatch.setattr(Told, "keep", keep)
        room.poll()
        room.start()
    assert_all_once(room.kept())


def test_files_that_come_twice_late_half_written_shrunk_or_grown(network, strain, tmp_path):
    room = Room(tmp_path, network)
    write(room.folder, strain, 0, 16)
    room.poll()
    whole = tmp_path / "whole"
    whole.mkdir()
    write(whole, strain, 16, 28)
    late = [path.name for path in sorted(whole.iterdir())]
    (room.folder / late[0]).write_bytes((whole / late[0]).read_bytes()[:5000])
    room.poll()
    assert not room.said  # it may be half written
    for name in late:
        shutil.copy(whole / name, room.folder / name)
    events = room.poll()
    assert len(events) == 1 and not room.said
    shutil.copy(whole / late[0], room.folder / f"again-{late[0]}")
    (room.folder / late[1]).write_bytes((whole / late[1]).read_bytes()[:3000])
    room.poll()
    assert sorted(line.split(": ", 1)[1] for line in room.said) == [
        "H1 from GPS 1000000016 to 1000000028 came before; what was read first stays",
        "has shrunk since it was read; what was read stays",
    ]
    room.said.clear()
    (room.folder / "no-H1.hdf5").write_bytes(b"nothing")
    room.poll()
    room.poll(UNREADABLE_SECONDS + 1)
    (line,) = room.said
    assert "no-H1.hdf5" in line and line.endswith("; left out")
    room.said.clear()
    # 28 to 32 is missing; what is behind it waits for it, for a while.
    write(room.folder, strain, 32, 52)
    assert room.poll() == []
    events += room.poll(module.PATIENCE_SECONDS)
    write(room.folder, strain, 28, 32)
    events += room.poll()
    assert len(room.said) == 2 and all("came late: all up to GPS 1000000052 is searched" in line for line in room.said)
    # A file that grows gives what is new of it.
    write(room.folder, strain, 52, 53)
    room.poll()
    for name in ("H1", "L1"):
        (room.folder / f"{name[0]}-{name}_X-{START + 52}-1.hdf5").unlink()
        path = room.folder / f"{name[0]}-{name}_X-{START + 52}-1.hdf5"
        write_gwosc(path, name, START + 52, RATE, strain[name][52 * RATE : 56 * RATE], "simulated")
    events += room.poll()
    assert len(room.said) == 2
    # 30.5 is in what came late; 25.98 and 33.0 are nearer to the gap than half a window and half a filter.
    assert_all_once(events, BURSTS[[0, 4, 5, 6]])


def test_a_piece_that_comes_in_time_is_waited_for(network, strain, tmp_path):
    room, told = Room(tmp_path, network), []
    for first, last in ((0, 20), (24, 28), (20, 24), (28, 40), (40, SECONDS)):
        write(room.folder, strain, first, last)
        told += room.poll()
    assert_all_once(told)
    assert not room.said


def test_a_detector_that_stays_away_does_not_fill_the_memory(network, strain, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LACKING_SECONDS", 10.0)
    room = Room(tmp_path, network)
    write(room.folder, strain, 0, 20)
    told = room.poll()
    for first in range(20, 44, 4):
        write(room.folder, strain, first, first + 4, ["H1"])
        told += room.poll()
    (line,) = room.said
    assert line == "no strain of L1 for 10 s; what the others have is left out"
    assert min(h.gps_start for h in room.follower._arrivals.headers if h.detector == "H1") >= START + 32
    write(room.folder, strain, 44, SECONDS)
    room.poll()
    assert len(room.said) == 1 and not told


def test_a_file_of_another_time_leaves_nothing_out(network, strain, tmp_path):
    room = Room(tmp_path, network)
    write(room.folder, strain, 0, 20)
    told = room.poll()
    write_gwosc(room.folder / "H-H1_wrong-1.hdf5", "H1", START + 10**8, RATE, strain["H1"][:RATE], "simulated")
    for first in range(20, SECONDS, 4):
        write(room.folder, strain, first, first + 4)
        told += room.poll()
    assert_all_once(told)
    assert not room.said


def test_strain_that_cannot_be_whitened_is_left_out_alone(network, strain, tmp_path):
    room, told = Room(tmp_path, network), []
    for first in range(0, SECONDS, 4):
        write(room.folder, strain, first, first + 4)
        if first == 20:
            path = room.folder / f"H-H1_X-{START + first}-4.hdf5"
            path.unlink()
            write_gwosc(
                path, "H1", START + first, 1024, strain["H1"][first * RATE : (first + 4) * RATE : 2], "simulated"
            )
        told += room.poll()
    assert_all_once(told, BURSTS[2:])  # 20.03 and 25.98 are nearer to it than half a window and half a filter
    (line,) = room.said
    assert "1024 Hz" in line and line.endswith("GPS 1000000020 to 1000000024 is left out")


def test_what_was_there_before_is_taken_in_order_of_time_bit_by_bit(network, strain, tmp_path, monkeypatch):
    monkeypatch.setattr(arrivals, "LOOKED_SECONDS", 8.0)
    room, told = Room(tmp_path, network), []
    for first in range(0, SECONDS, 4):
        write(room.folder, strain, first, first + 4)
    for _ in range(SECONDS // 4):
        told += room.poll()
        assert len(room.follower._arrivals.headers) <= 2 * SECONDS // 4
    assert_all_once(told)
    assert not room.said


def test_a_folder_that_vanishes(network, strain, tmp_path):
    room = Room(tmp_path, network)
    write(room.folder, strain, 0, 24)
    room.poll()
    room.folder.rename(tmp_path / "away")
    room.poll()
    room.poll()
    assert len(room.said) == 1 and "is gone" in room.said[0]
    (tmp_path / "away").rename(room.folder)
    write(room.folder, strain, 24, SECONDS)
    room.poll()
    assert len(room.said) == 2 and room.said[1].endswith("is there again")
    assert_all_once(room.kept())


def test_gaps_dead_strain_and_vetoes(network, strain, tmp_path):
    broken = {name: own.copy() for name, own in strain.items()}
    broken["L1"][32 * RATE : 33 * RATE + 200] = 0
    room, told = Room(tmp_path, network, vetoes=[(START + 44, START + 46)]), []
    for first in range(0, SECONDS, 2):
        write(room.folder, broken, first, first + 2)
        told += room.poll()
    # Half a second of the window and 2 s of the filter are lost on either side of the gap: 30.5 goes with 33.0.
    assert_all_once(told, BURSTS[[0, 1, 4, 6]])


def test_the_background_grows_and_survives(network, tmp_path):
    rng = np.random.default_rng(1)
    noise = {name: 1e-21 * rng.normal(size=220 * RATE) for name in ("H1", "L1")}
    for own in noise.values():  # bursts that are not coincident
        for at in rng.uniform(5, 215, 60):
            own[round(at * RATE) :][:64] += 6e-21
    for own in noise.values():
        own[200 * RATE :][:64] += 40e-21
    room, told = Room(tmp_path, network, slides=3, threshold=30.0), []
    for first in range(0, 220, 10):
        write(room.folder, noise, first, first + 10)
        told += [event for _ in range(3) for event in room.poll()]
        if first == 150:
            room.start()
    loudest = max(told, key=lambda event: event["stat"])
    assert loudest["time"] == pytest.approx(START + 200.016, abs=0.05)
    assert 300 < loudest["background_seconds"] < 3 * 200
    assert loudest["far_is_limit"] and loudest["far"] == pytest.approx(
        365.25 * 86400 / loudest["background_seconds"], rel=1e-6
    )
    own = Told(room.output, network).background(-np.inf)
    assert own[0].seconds > loudest["background_seconds"] and own[1] % module.BLOCK_SECONDS == 0
    assert len(own[0].stat) > 10 and np.all(np.isfinite(own[0].alone))


def test_an_output_of_another_search_is_refused(network, tmp_path):
    room = Room(tmp_path, network)
    other = Detector(network.model, {**network.card, "sha256": "1" * 64})
    with pytest.raises(InputError, match=r"out\.jsonl: is of another search than one with small"):
        Told(room.output, other)
    foreign = tmp_path / "foreign.jsonl"
    foreign.write_text("mine\n")
    with pytest.raises(InputError, match="exists already"):
        Told(foreign, network)
    with pytest.raises(InputError, match="is no folder"):
        list(follow(network, tmp_path / "none", tmp_path / "e.jsonl"))


@pytest.mark.parametrize(
    ("given", "mentioned"),
    [
        (["--follow", "none", "--output", "e.jsonl"], "none: is no folder"),
        (["--follow", ".", "--output", "e.hdf"], r"ends in .jsonl"),
        (["x.hdf", "--follow", ".", "--output", "e.jsonl"], "x.hdf: --follow searches the files of its folder"),
        (["--follow", ".", "--output", "e.jsonl", "--report", "r.html"], "--report is of a search of given files"),
        (
            ["--follow", ".", "--output", "e.jsonl", "--or", "flagship"],
            "follow the folder with the other network in a command",
        ),
        (["--output", "e.hdf"], "give strain files to search, or --follow DIR"),
        (["x.hdf", "--output", "e.jsonl"], "unless with --follow"),
        (["x.hdf", "--output", "e.hdf", "--idle", "5"], "--idle is of --follow DIR"),
    ],
)
def test_the_command_refuses_what_does_not_go_together(given, mentioned, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["search", "resnet18-w16", *given]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert mentioned in line and not list(tmp_path.glob("e.*"))


def test_following_ends_when_nothing_comes(network, strain, tmp_path):
    with mlgwsc1_file(tmp_path / "all.hdf", ["H1", "L1"], RATE) as add:
        for name, own in strain.items():
            add(name, START, own)
    (tmp_path / "in").mkdir()
    shutil.move(tmp_path / "all.hdf", tmp_path / "in" / "all.hdf")
    said = []
    options = {"threshold": 5.0, "idle_seconds": 0.5, "say": said.append}
    assert_all_once(list(follow(network, tmp_path / "in", tmp_path / "e.jsonl", **options)))
    (tmp_path / "in" / "odd.hdf5").write_bytes(b"nothing")
    assert list(follow(network, tmp_path / "in", tmp_path / "e.jsonl", **options)) == []
    end, again, odd, once_more = said
    assert end.startswith("no strain for 0.5 s; searched up to GPS 1000000052.")
    assert "e.jsonl: goes on after GPS 1000000052." in again and "--overwrite" in again
    assert "odd.hdf5" in odd and odd.endswith("; left out")
    assert once_more == end


@pytest.mark.parametrize(
    ("names", "lacking"),
    [((), "no strain of H1 and L1 has come"), (["H1"], "no strain of L1 has come"), (("H1", "L1"), "16 s and more")],
)
def test_what_was_never_searched_is_said(network, strain, tmp_path, names, lacking):
    room, said = Room(tmp_path, network), []
    write(room.folder, strain, 0, 8, names)
    assert list(follow(network, room.folder, tmp_path / "e.jsonl", idle_seconds=0.3, say=said.append)) == []
    assert len(said) == 1 and "nothing was searched" in said[0] and lacking in said[0]
    assert not (tmp_path / "e.jsonl").read_bytes()
