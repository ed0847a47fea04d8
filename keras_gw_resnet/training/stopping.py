"""Stopping when a queue system asks for it."""

import contextlib
import os
from dataclasses import dataclass

from keras_gw_resnet.errors import TERMINATED


@dataclass
class _Run:
    processes: int = 1


@contextlib.contextmanager
def stopping_on_sigterm(out, overwrite=False):
    """End a training on SIGTERM, which the command line turns into an exit, with code 0 and a line that says how to go on.

    Every epoch is saved when it ends; what is lost is the epoch that was under way. Where several processes train together,
    one that waits for another when both are stopped may be ended by JAX before it can say so.

    Args:
        out: Folder of the run.
        overwrite: Whether the command would begin afresh.

    Yields:
        An object whose `processes` is to be set to how many there are.
    """
    run = _Run()
    try:
        yield run
    except SystemExit as stop:
        if stop.code != TERMINATED:
            raise
        from keras_gw_resnet.training.checkpoint import last_checkpoint

        done = last_checkpoint(out / "checkpoints")[0]
        print(
            f"{out}: stopped by SIGTERM, {done} epochs are saved; {the_same_command(overwrite)} goes on from there",
            flush=True,
        )
        if run.processes > 1:
            # JAX would wait at the end for processes that may be gone already.
            os._exit(0)


def the_same_command(overwrite):
    """Return how to name the command with which a run goes on."""
    return "the same command without --overwrite" if overwrite else "the same command"
