"""How fast a training step is in TensorFlow without and with XLA, and in JAX, beside a product of matrices.

    python -m benchmarks.training.backends
    python -m benchmarks.training.backends --turns 3 --batch-size 128

Each is measured in a process of its own, in turns, on one fixed batch: forward, backward and update. `share` is the rate of the operations of
the convolutions, two for each multiply-add and three times those of a forward pass, over the rate of a float32 product of two
4096 x 4096 matrices in NumPy. The fixed kernels of a matched filter have no backward pass, so that its share comes out too high.
"""

import argparse
import json
import os
import subprocess
import sys
import time

import numpy as np

STACK = {"width": 16}
FILTER = {**STACK, "templates": 128, "coincidence": True, "pooling": "logsumexp", "head_kernel_size": 4}
NETWORKS = {
    "resnet18": ("resnet18", STACK),
    "resnet18, matched filter": ("resnet18", FILTER),
    "residual-cnn": ("residual-cnn", STACK),
}
RUNTIMES = {"TensorFlow": "tensorflow", "TensorFlow, XLA": "tensorflow", "JAX": "jax"}


def one(network, runtime, batch, seconds=8.0):
    """Return examples a second, how long the first step takes to compile, and multiply-adds of an example, in this process."""
    from keras_gw_resnet import build_model
    from keras_gw_resnet.models.info import multiply_adds_of

    family, options = NETWORKS[network]
    model = build_model(family, **options)
    model.compile("adam", "binary_crossentropy", jit_compile=runtime != "TensorFlow")
    rng = np.random.default_rng(0)
    strain = rng.standard_normal((batch, *model.input_shape[1:]), np.float32)
    label = rng.integers(0, 2, (batch, 1)).astype("float32")
    begin = time.perf_counter()
    model.train_on_batch(strain, label)
    compiling, steps = time.perf_counter() - begin, 0
    model.train_on_batch(strain, label)
    begin = time.perf_counter()
    while time.perf_counter() - begin < seconds:
        float(model.train_on_batch(strain, label))
        steps += 1
    rate = batch * steps / (time.perf_counter() - begin)
    return {"rate": rate, "compiling": compiling, "multiply_adds": multiply_adds_of(model)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=2, help="of which the best counts (default: 2)")
    parser.add_argument("--batch-size", type=int, default=128, help="examples (default: 128)")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(one(*args.one, args.batch_size)))
        return
    from benchmarks.search.speed import product_rate
    from keras_gw_resnet.commands.printing import table

    rows = []
    for network in NETWORKS:
        found = {runtime: [] for runtime in RUNTIMES}
        product = 0.0
        for _ in range(args.turns):
            for runtime, backend in RUNTIMES.items():
                command = [sys.executable, "-m", "benchmarks.training.backends", "--one", network, runtime]
                command += ["--batch-size", str(args.batch_size)]
                known = {**os.environ, "KERAS_BACKEND": backend}
                done = subprocess.run(command, env=known, check=True, stdout=subprocess.PIPE, text=True)
                found[runtime].append(json.loads(done.stdout.splitlines()[-1]))
                product = max(product, product_rate()[0])
        for runtime, turns in found.items():
            best = max(turns, key=lambda each: each["rate"])
            share = 6 * best["multiply_adds"] * best["rate"] / product
            figures = (best["rate"], best["compiling"], product / 1e9, share)
            rows.append([network, runtime, *(f"{value:.3g}" for value in figures)])
    print(table(rows, ["network", "", "examples/s", "first step, s", "product, GFLOP/s", "share"]))


if __name__ == "__main__":
    main()
