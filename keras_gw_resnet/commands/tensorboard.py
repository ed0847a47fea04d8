"""The command 'tensorboard'."""

import argparse
import os
import threading

from keras_gw_resnet.commands.arguments import add_command, path_of
from keras_gw_resnet.errors import InputError

HOST, EVENTS = "127.0.0.1", "events.out.tfevents."


def add_tensorboard(subparsers: argparse._SubParsersAction) -> None:
    """Add the command 'tensorboard'."""
    parser = add_command(
        subparsers,
        "tensorboard",
        run_tensorboard,
        "show trainings in TensorBoard, on this machine alone",
        "keras-gw-resnet tensorboard runs/first/logs\n  keras-gw-resnet tensorboard runs --port 6007",
    )
    parser.add_argument("folder", type=path_of, metavar="DIR", help="folder of one run's logs, or of many runs")
    parser.add_argument("--port", type=int, default=6006, metavar="N", help="0: any that is free (default: 6006)")


def _holds_logs(folder):
    """Say whether TensorBoard finds logs there; it follows links to folders, too."""
    walked, seen = os.walk(folder, followlinks=True), set()
    for path, below, files in walked:
        if any(name.startswith(EVENTS) for name in files):
            return True
        here = os.path.realpath(path)
        if here in seen:  # a link that leads back
            below.clear()
        seen.add(here)
    return False


def run_tensorboard(args: argparse.Namespace) -> None:
    """Serve TensorBoard on loopback until it is interrupted."""
    if not _holds_logs(args.folder):
        raise InputError(f"{args.folder}: holds no logs of a training; give the --out or --log-dir folder of one")
    if not 0 <= args.port < 2**16:
        raise InputError(f"--port is {args.port}; expected a number from 0 to {2**16 - 1}")
    from tensorboard import program

    server = program.TensorBoard()
    server.configure(argv=["tensorboard", "--logdir", str(args.folder), "--host", HOST, "--port", str(args.port)])
    try:
        url = server.launch()
    except program.TensorBoardServerException as error:
        raise InputError(f"--port {args.port}: {error}; choose another --port, or 0 for any") from error
    print(f"TensorBoard shows {args.folder} at {url} (Ctrl-C ends it)", flush=True)
    threading.Event().wait()
