"""Training examples a second from the generator alone, on one thread, against a float32 matrix product in the same run.

    python benchmarks/datasets/examples.py --data runs/demo/train

How much of a training is lost to waiting for them: benchmarks/training/overhead.py.
"""

import argparse
import timeit

import numpy as np


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="runs/demo/train", help="folder with strain and a waveform bank")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--steps", type=int, default=20)
    args = parser.parse_args()

    from keras_gw_resnet.commands.printing import table
    from keras_gw_resnet.errors import InputError
    from keras_gw_resnet.training.config import TrainingConfig
    from keras_gw_resnet.training.data import load_batches

    config = TrainingConfig.of(
        model="resnet18", data=args.data, detectors=("H1", "L1"), window_samples=2048, batch_size=args.batch_size
    )
    try:
        plain = load_batches(config)
    except InputError as error:
        raise SystemExit(f"{error}\n'make demo' makes data") from None
    rich = load_batches(config.changed(glitch_share=0.2, inconsistent_share=0.2, loud_share=0.2, lone_signal_share=0.2))
    gaussian = load_batches(config.changed(noise="gaussian", psd=("aLIGOZeroDetHighPower",)))
    rows = []
    for name, batches in (("noise from files", plain), ("all negatives", rich), ("gaussian noise", gaussian)):
        made = batches.training
        made[0]
        spent = timeit.timeit(lambda made=made: [made[i] for i in range(args.steps)], number=1)
        rows.append([name, f"{args.steps * args.batch_size / spent:.0f}"])
    print(table(rows, ["examples", "examples /s"]))
    a = np.ones((2048, 2048), np.float32)
    rate = max(2 * len(a) ** 3 / timeit.timeit(lambda: a @ a, number=1) for _ in range(8))
    print(f"a float32 matrix product ran at {rate / 1e9:.0f} GFLOP/s on all cores")


if __name__ == "__main__":
    main()
