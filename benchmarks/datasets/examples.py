"""Training examples a second from the generator alone, and the share of training time lost to waiting for them.

    python benchmarks/datasets/examples.py --data runs/demo/train

The share compares two trainings of the same network in the same run: one on fresh examples, one on a single batch over
and over, which never waits.
"""

import argparse
import time
from dataclasses import replace


class OneBatch:
    """The same batch for ever."""

    def __init__(self, batches):
        self._batch, self.batch_size = batches[0], batches.batch_size

    def __getitem__(self, index):
        return self._batch


def seconds_of(work):
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="runs/demo/train", help="folder with strain and a waveform bank")
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--steps", type=int, default=20)
    args = parser.parse_args()

    from keras_gw_resnet.backend import load_keras
    from keras_gw_resnet.commands.printing import table
    from keras_gw_resnet.training.config import TrainingConfig
    from keras_gw_resnet.training.data import load_batches

    config = TrainingConfig(model=args.model, data=args.data, options={"width": args.width}, batch_size=args.batch_size)
    plain = load_batches(config)
    rich = load_batches(
        replace(config, glitch_share=0.2, inconsistent_share=0.2, loud_share=0.2, lone_signal_share=0.2)
    )
    gaussian = load_batches(replace(config, noise="gaussian", psds=("aLIGOZeroDetHighPower",)))
    rows = []
    for name, batches in (("noise from files", plain), ("all negatives", rich), ("gaussian noise", gaussian)):
        made = batches.training
        made[0]
        spent = seconds_of(lambda made=made: [made[i] for i in range(args.steps)])
        rows.append([name, f"{args.steps * args.batch_size / spent:.0f}"])
    print(table(rows, ["examples", "examples /s"]))

    load_keras(training=True)
    from keras_gw_resnet.training.fit import _compiled, _feed

    model = _compiled(config)
    times = {"fresh": [], "one batch": []}
    model.fit(_feed(OneBatch(plain.training), 0, 3), steps_per_epoch=3, shuffle=False, verbose=0)
    for _ in range(3):
        for name, batches in (("fresh", rich.training), ("one batch", OneBatch(plain.training))):
            feed = _feed(batches, 0, args.steps)
            times[name].append(
                seconds_of(lambda feed=feed: model.fit(feed, steps_per_epoch=args.steps, shuffle=False, verbose=0))
            )
    fresh, same = min(times["fresh"]), min(times["one batch"])
    print(
        f"{args.model} of width {args.width}, batch {args.batch_size}: "
        f"{100 * max(0.0, 1 - same / fresh):.1f} % of the training time is lost to waiting for examples"
    )


if __name__ == "__main__":
    main()
