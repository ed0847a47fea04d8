"""The share of a training that passes outside the network's own arithmetic: input, callbacks, checkpoints, logs.

    python benchmarks/training/overhead.py --data runs/demo/train

The shortest epoch of a whole training is compared with as many steps over one fixed batch and with the scoring of the same
validation windows, both alone, in the same run.
"""

import argparse
import itertools
import tempfile
import time
import timeit
from pathlib import Path


class OneBatch:
    """The same batch for ever."""

    def __init__(self, batches):
        self._batch, self.batch_size = batches[0], batches.batch_size

    def __getitem__(self, index):
        return self._batch


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="runs/demo/train", help="folder with strain and a waveform bank")
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=100, help="batches an epoch (default: 100)")
    args = parser.parse_args()

    from keras_gw_resnet.backend import load_keras
    from keras_gw_resnet.training.config import TrainingConfig
    from keras_gw_resnet.training.distribution import prepare

    config = TrainingConfig.of(
        model=args.model,
        data=args.data,
        detectors=("H1", "L1"),
        window_samples=2048,
        options={"width": args.width},
        batch_size=args.batch_size,
        steps_per_epoch=args.steps,
        epochs=4,
    )
    place = load_keras(lambda: prepare(config))
    import keras

    from keras_gw_resnet.training.data import load_batches
    from keras_gw_resnet.training.fit import feed_of, fit
    from keras_gw_resnet.training.optimization import compile_for_training, new_network
    from keras_gw_resnet.training.validation import Validation, scorer

    batches, ends = load_batches(config), []

    class Clock(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            ends.append(time.perf_counter())

    model = new_network(config)
    compile_for_training(model, config, 4 * args.steps)
    one = OneBatch(batches.training)

    def bare():
        model.fit(feed_of(one, 0, args.steps), steps_per_epoch=args.steps, shuffle=False, verbose=0)

    model.fit(feed_of(one, 0, 3), steps_per_epoch=3, shuffle=False, verbose=0)
    validation, score = Validation(batches, config, []), scorer(model)
    score(validation.strain)
    bares = [timeit.timeit(bare, number=1)]
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        _, history, _ = fit(config, batches, Path(folder) / "run", place=place, callbacks=[Clock()])
    ends.append(time.perf_counter())
    bares += [timeit.timeit(bare, number=1) for _ in range(2)]
    scoring = min(
        timeit.timeit(lambda: (score(validation.strain), score(batches.metric.strain)), number=1) for _ in range(2)
    )
    # The shortest of each: what lengthens the others is not the training's doing. The last epoch ends with the run.
    whole, network = min(b - a for a, b in itertools.pairwise(ends[1:-1])), min(bares) + scoring
    waiting = [row["input_wait_share"] for row in history[1:]]
    print(f"{args.model} of width {args.width}, batch {args.batch_size}, {args.steps} steps an epoch:")
    print(f"  outside the network's own arithmetic: {100 * (1 - network / whole):.1f} % of an epoch")
    print(f"  waiting for examples: {100 * max(waiting):.1f} % of the training steps")
    print(f"  longest over shortest bare loop: {max(bares) / min(bares):.2f}")
    print(f"  from the call of fit to the end of the first epoch: {(ends[1] - started) / whole:.2f} epochs")


if __name__ == "__main__":
    main()
