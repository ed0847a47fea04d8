"""Stopping when a queue system asks for it."""

import contextlib
import signal


class Stopped(BaseException):
    """Somebody sent SIGTERM."""


def _stop(number, frame):
    raise Stopped


@contextlib.contextmanager
def stopping_on_sigterm(out):
    """End a training on SIGTERM with exit code 0 and a line that says how to go on.

    Every epoch is saved when it ends; what is lost is the epoch that was under way.

    Args:
        out: Folder of the run.
    """
    before = signal.signal(signal.SIGTERM, _stop)
    try:
        yield
    except Stopped:
        from keras_gw_resnet.training.checkpoint import last_checkpoint

        done = last_checkpoint(out / "checkpoints")[0]
        print(f"{out}: stopped by SIGTERM, {done} epochs are saved; the same command goes on from there", flush=True)
    finally:
        signal.signal(signal.SIGTERM, before)
