"""The command line: parse, call, exit code."""

import argparse
import contextlib
import os
import signal
import sys
from collections.abc import Generator, Sequence
from pathlib import Path

from keras_gw_resnet import __version__
from keras_gw_resnet.commands.adopt import add_adopt
from keras_gw_resnet.commands.arguments import Parser, add_command, path_of, seed
from keras_gw_resnet.commands.evaluate import add_evaluate
from keras_gw_resnet.commands.explain import add_explain
from keras_gw_resnet.commands.export import add_export
from keras_gw_resnet.commands.glitches import add_glitches
from keras_gw_resnet.commands.hard_noise import add_hard_noise
from keras_gw_resnet.commands.inspect import add_inspect
from keras_gw_resnet.commands.mlgwsc import add_mlgwsc
from keras_gw_resnet.commands.models import add_models
from keras_gw_resnet.commands.search import add_search
from keras_gw_resnet.commands.simulate import add_simulate
from keras_gw_resnet.commands.strain import add_fetch, add_import_g2net, add_statistics
from keras_gw_resnet.commands.tensorboard import add_tensorboard
from keras_gw_resnet.commands.train import add_train, run_train
from keras_gw_resnet.commands.train_zoo import add_train_zoo
from keras_gw_resnet.errors import TERMINATED, InputError, shortened
from keras_gw_resnet.owners import owned
from keras_gw_resnet.progress import working

PROGRAM = "keras-gw-resnet"
GOES_ON = "the same command, without --overwrite, goes on where it can"


def _run_demo(args):
    from keras_gw_resnet.demo import demo

    demo(args.folder, seed=args.seed)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = Parser(prog=PROGRAM, description="Residual networks that find gravitational waves in detector strain.")
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND", dest="command", parser_class=Parser)
    add_train(subparsers)
    add_tensorboard(subparsers)
    add_evaluate(subparsers)
    add_search(subparsers)
    add_explain(subparsers)
    add_mlgwsc(subparsers)
    add_simulate(subparsers)
    add_glitches(subparsers)
    add_models(subparsers)
    add_statistics(subparsers)
    add_fetch(subparsers)
    add_import_g2net(subparsers)
    add_inspect(subparsers)
    add_export(subparsers)
    add_adopt(subparsers)
    add_hard_noise(subparsers)
    add_train_zoo(subparsers)
    demo = add_command(
        subparsers,
        "demo",
        _run_demo,
        "find GW150914 with the flagship; then simulate, train, evaluate and search, in minutes",
        "keras-gw-resnet demo --folder runs/demo",
    )
    demo.add_argument("--folder", type=path_of, default=Path("runs/demo"), metavar="DIR", help="default: runs/demo")
    demo.add_argument("--seed", type=seed, default=0, metavar="N", help="of the training (default: 0)")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: Arguments without the program's name; None: those of the process.

    Returns:
        Exit code: 0, or 2 after one line on stderr where the input cannot be used.
    """
    # A queue system's SIGTERM ends commands as an exception does, so that nothing half-written is left.
    with contextlib.suppress(ValueError):  # in a thread other than the main one
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    argv = sys.argv[1:] if argv is None else [str(word) for word in argv]
    command = "train" if argv[:1] == ["train"] else None
    try:
        if command:
            with working(command):
                run_train(argv[1:])
        else:
            args = build_parser().parse_args(argv)
            command = args.command
            said = contextlib.nullcontext() if _speaks_for_itself(args) else working(command)
            with owned_output(args), said:
                args.run(args)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of a pipe, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (InputError, OSError, MemoryError) as error:
        print(f"{PROGRAM} {command}: error: {_line(error)}", file=sys.stderr)
        return 2
    except SystemExit as stop:
        if stop.code != TERMINATED:
            raise
        print(f"{PROGRAM} {command}: terminated{_goes_on(command)}", file=sys.stderr)
        return TERMINATED
    except KeyboardInterrupt:
        print(f"{PROGRAM} {command}: interrupted{_goes_on(command)}", file=sys.stderr)
        return 130
    return 0


def _goes_on(command):
    return "" if command == "tensorboard" else f"; {GOES_ON}"  # which has nothing to go on with


def _speaks_for_itself(args):
    """Say whether a command runs until it is stopped, or has lines on stdout that are read by programs."""
    return args.command == "tensorboard" or getattr(args, "follow", None) is not None


@contextlib.contextmanager
def owned_output(args: argparse.Namespace) -> Generator[None]:
    """Let a command alone write to its output and pictures while the block runs; 'fetch' sees to each file itself."""
    named = [getattr(args, name, None) for name in ("output", "plot", "report", "json")]
    given = {path for one in named for path in (one if isinstance(one, list) else [one]) if path is not None}
    with contextlib.ExitStack() as stack:
        for path in sorted(given, key=str) if args.command != "fetch" else ():
            stack.enter_context(owned(path))
        yield


def _line(error):
    if isinstance(error, OSError) and error.filename:
        return shortened(f"{error.filename}: {error.strerror}")
    return shortened(str(error)) or type(error).__name__
