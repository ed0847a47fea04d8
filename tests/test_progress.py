import sys
import time

from keras_gw_resnet import progress


def lines_of(capsys, what):
    capsys.readouterr()
    what()
    return capsys.readouterr().out.splitlines()


def test_lines_where_stdout_is_no_terminal(capsys, monkeypatch):
    monkeypatch.setattr(progress, "SECONDS", 0.1)

    def work():
        with progress.working("train"):
            time.sleep(0.25)
            with progress.Bar(total=100, desc="templates", unit="batch") as bar:
                bar.update(25)
                time.sleep(0.25)
            for _ in progress.Bar(range(3), desc="whitening", unit="s"):
                time.sleep(0.15)
            time.sleep(0.25)

    lines = lines_of(capsys, work)
    assert lines[0] == "train: 0 s so far"
    assert any(line.startswith("templates: 25 of 100 batches, ") and line.endswith(" left") for line in lines)
    assert any(line.startswith("whitening: 1 of 3 s, ") for line in lines)
    assert lines[-1].startswith("train: ")
    time.sleep(0.25)
    assert capsys.readouterr().out == ""  # nobody talks when all is done


def test_a_terminal_gets_no_such_lines(capsys, monkeypatch):
    monkeypatch.setattr(progress, "SECONDS", 0.05)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)

    def work():
        with progress.working("train"):
            time.sleep(0.2)

    assert lines_of(capsys, work) == []


def test_a_bar_begun_later_counts_what_was_done_since():
    with progress.Bar(total=20, initial=10, desc="training", unit="batch") as bar:
        bar._begun -= 60
        assert bar.line() == "training: 10 of 20 batches"
        bar.update(5)
        assert bar.line() == "training: 15 of 20 batches, 60 s left"
        bar.total = None
        assert bar.line() == "training: 60 s so far"
