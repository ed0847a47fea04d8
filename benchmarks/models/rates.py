"""Training and inference rates of the residual family, against the rate of a matrix product in the same run.

    python benchmarks/models/rates.py --width 16 --batch-size 64

`share` is the floating-point operations a second that a network does (two for each multiply-add of its convolutions,
three times as many in training) over those of a float32 4096 x 4096 matrix product, measured just before each network
and just after.
"""

import argparse
import time

import numpy as np

from keras_gw_resnet.backend import load_keras
from keras_gw_resnet.commands.printing import table

SIZE = 4096


def matrix_product_rate(repeats=8):
    """Return the floating-point operations a second of a float32 matrix product in Keras' backend."""
    import keras

    a = keras.ops.convert_to_tensor(np.random.default_rng(0).standard_normal((SIZE, SIZE), np.float32))
    keras.ops.convert_to_numpy(keras.ops.matmul(a, a)[0, 0])  # to warm up
    best = 0.0
    for _ in range(repeats):
        started = time.perf_counter()
        keras.ops.convert_to_numpy(keras.ops.matmul(a, a)[0, 0])
        best = max(best, 2 * SIZE**3 / (time.perf_counter() - started))
    return best


def samples_per_second(step, batch_size, seconds):
    """Return the rate of the best of the calls of `step` within so many seconds, after two to warm up."""
    step()
    step()
    best, started = 0.0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        at = time.perf_counter()
        step()
        best = max(best, batch_size / (time.perf_counter() - at))
    return best


def measure(name, width, batch_size, seconds):
    """Return one row of the table."""
    import keras

    from keras_gw_resnet.backend import jit_compile
    from keras_gw_resnet.models.registry import build_model, model_info

    rng = np.random.default_rng(0)
    strain = rng.standard_normal((batch_size, 2048, 2), np.float32)
    label = (np.arange(batch_size) % 2).astype("float32")[:, None]
    model = build_model(name, width=width)
    model.compile("adam", keras.losses.BinaryCrossentropy(from_logits=True), jit_compile=jit_compile())
    before = matrix_product_rate()
    training = samples_per_second(lambda: model.train_on_batch(strain, label), batch_size, seconds)
    inference = samples_per_second(lambda: model.predict_on_batch(strain), batch_size, seconds)
    peak = (before + matrix_product_rate()) / 2
    operations = 2 * model_info(name, width=width).multiply_adds
    shares = (training * 3 * operations / peak, inference * operations / peak)
    return [name, *(f"{v:.0f}" for v in (training, inference)), *(f"{s:.2f}" for s in shares), f"{peak / 1e9:.0f}"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="networks (default: the residual family)")
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=5.0, help="for each rate (default: 5)")
    args = parser.parse_args()
    load_keras()
    from keras_gw_resnet.models.registry import list_models

    names = args.names or list_models("resnet*")
    rows = [measure(name, args.width, args.batch_size, args.seconds) for name in names]
    header = ["network", "training /s", "inference /s", "share training", "share inference", "product GFLOP/s"]
    print(table(rows, header))


if __name__ == "__main__":
    main()
