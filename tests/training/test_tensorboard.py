import re
import socket
import subprocess
import sys
import time
import urllib.request

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from keras_gw_resnet.commands.tensorboard import _holds_logs
from tests.conftest import ROOT, assert_refused, run_command


def tags(folder):
    return EventAccumulator(str(folder), size_guidance={"tensors": 0}).Reload()


def test_tensorboard_files_hold_the_run(small_run):
    train, held_out, whole = (tags(small_run / "logs" / name) for name in ("train", "validation", ""))
    assert [e.step for e in held_out.Tensors("epoch_auc")] == [0, 1]
    assert {"epoch_loss", "learning_rate", "snr_low", "snr_high", "epoch_examples_per_second"} <= set(
        train.Tags()["tensors"]
    )
    assert "epoch_input_wait_share" in train.Tags()["tensors"]
    assert {"epoch_loss", "epoch_efficiency", "curves", "examples", "precision_recall"} <= set(
        held_out.Tags()["tensors"]
    )
    fills = [tag for tag in train.Tags()["tensors"] if tag.startswith("block_fill/")]
    assert len(fills) == 7
    assert "efficiency_by_snr/5.0-8.8" in held_out.Tags()["tensors"]
    assert "configuration" in train.Tags()["tensors"]
    assert "best_val_auc" in whole.Tags()["tensors"]


@pytest.fixture(scope="module")
def server(small_run):
    """The real TensorBoard server on the logs of a run."""
    command = [sys.executable, "-m", "keras_gw_resnet", "tensorboard", str(small_run / "logs"), "--port", "0"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        yield re.search(r"http://127\.0\.0\.1:\d+/", line).group()
    finally:
        process.terminate()
        _, said = process.communicate(timeout=30)
    assert said.endswith("tensorboard: terminated\n")


def test_the_server_answers_on_loopback(server):
    with urllib.request.urlopen(server + "data/plugins_listing", timeout=30) as answer:
        assert b"hparams" in answer.read()


def test_a_browser_shows_the_run(server, browser):
    """Scalars, hyperparameters and pictures, in a real browser."""
    for page, expected in (("timeseries", "epoch_loss"), ("hparams", "learning_rate"), ("images", "curves")):
        browser.get(f"{server}#{page}")
        browser.refresh()
        wait_for(browser, expected)


def wait_for(driver, text, seconds=60):
    """Wait until a page shows a text, shadow roots included."""
    script = """
        const texts = [];
        const visit = node => {
            if (node.nodeType === 3) texts.push(node.textContent);
            if (node.shadowRoot) visit(node.shadowRoot);
            node.childNodes.forEach(visit);
        };
        visit(document.body);
        return texts.join(' ');
    """
    deadline = time.monotonic() + seconds
    while text not in (shown := driver.execute_script(script)):
        assert time.monotonic() < deadline, f"{text!r} does not appear in: {shown[:2000]}"
        time.sleep(0.3)


def test_what_cannot_be_shown_is_refused(tmp_path, small_run):
    assert_refused(run_command("-m", "keras_gw_resnet", "tensorboard", tmp_path), "holds no logs")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused = run_command("-m", "keras_gw_resnet", "tensorboard", small_run / "logs", "--port", port)
        assert refused.returncode == 2
        assert f"--port {port}" in refused.stderr.splitlines()[-1]


def test_folders_of_links_to_runs_are_followed(tmp_path):
    run = tmp_path / "elsewhere" / "run" / "train"
    run.mkdir(parents=True)
    compared = tmp_path / "compared"
    compared.mkdir()
    (compared / "first").symlink_to(run.parent)
    (run / "back").symlink_to(compared)  # a loop ends
    assert not _holds_logs(compared)
    (run / "events.out.tfevents.1").touch()
    assert _holds_logs(compared)
