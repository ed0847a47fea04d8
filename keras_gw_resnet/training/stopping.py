"""Stopping when a queue system asks for it."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Generator
from pathlib import Path

from keras_gw_resnet.errors import TERMINATED

# Of several processes the coordinator leaves last: JAX aborts those that miss it.
COORDINATOR_WAITS_SECONDS = 2.0


class _Run:
    """A training that SIGTERM may end."""

    def __init__(self, out, overwrite):
        self.out, self.overwrite, self.place = out, overwrite, None
        self.ending = threading.Lock()

    def say(self):
        """Say what is saved and how to go on."""
        from keras_gw_resnet.training.checkpoint import last_checkpoint

        done = last_checkpoint(self.out / "checkpoints")[0]
        again = the_same_command(self.overwrite)
        print(f"{self.out}: stopped by SIGTERM, {done} epochs are saved; {again} goes on from there", flush=True)

    def watch(self, place):
        """Where this is one process of several, end it even while it waits for another, which may be gone.

        The main thread, which waits inside JAX, would not see the signal; what woke it up here does.
        """
        self.place = place
        if place.processes > 1 and threading.current_thread() is threading.main_thread():
            awake, wake = os.pipe()
            os.set_blocking(wake, False)
            signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
            threading.Thread(target=self._wait, args=(awake,), daemon=True).start()

    def _wait(self, awake):
        while signal.SIGTERM not in os.read(awake, 1):
            pass
        self.end_now()

    def end_now(self):
        """End one process of several, without the leave that JAX would wait for."""
        with self.ending:  # and never leave it: who comes second waits for the end
            self.say()
            if self.place.first:
                time.sleep(COORDINATOR_WAITS_SECONDS)
            os._exit(0)


@contextlib.contextmanager
def stopping_on_sigterm(out: Path, overwrite: bool = False) -> Generator:
    """End a training on SIGTERM, which the command line turns into an exit, with code 0 and a line that says how to go on.

    Every epoch is saved when it ends; what is lost is the epoch that was under way.

    Args:
        out: Folder of the run.
        overwrite: Whether the command would begin afresh.

    Yields:
        An object whose `watch` is to be given the `Place` of the training.
    """
    run = _Run(out, overwrite)
    try:
        yield run
    except SystemExit as stop:
        if stop.code != TERMINATED:
            raise
        if run.place and run.place.processes > 1:
            run.end_now()
        run.say()


def the_same_command(overwrite: bool) -> str:
    """Return how to name the command with which a run goes on."""
    return "the same command without --overwrite" if overwrite else "the same command"
