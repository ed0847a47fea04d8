"""How fast a search is, and what its time goes to.

    python -m benchmarks.search.scan --width 32 --hours 1
    python -m benchmarks.search.scan --width 16 --hours 0.17 1 6 24

Of simulated white noise in the challenge's layout, one file a duration: times real time, the share of reading, whitening
and clustering, the network's floating-point operations a second over those of a float32 matrix product measured in the
same run, the growth of cost and of peak memory with duration, and the gain over window-by-window prediction.
"""

import argparse
import resource
import tempfile
import timeit
from pathlib import Path

import numpy as np

from benchmarks.models.rates import matrix_product_rate
from keras_gw_resnet.backend import jit_compile, load_keras
from keras_gw_resnet.commands.printing import table

RATE = 2048
# Of window-by-window prediction, which the published searches make ten times a second.
WINDOW_STRIDE_SECONDS = 0.1
BATCH = 64


def card_of(model):
    """Return the card of a network that was not trained."""
    from keras_gw_resnet.search.calibration import UNKNOWN_TIMING
    from keras_gw_resnet.strain.conditioning import Whitening

    return {
        "name": model.name,
        "sha256": "",
        "detectors": ["H1", "L1"],
        "window_samples": model.input_shape[1],
        "sample_rate": RATE,
        "whitening": Whitening().to_dict(),
        "timing": UNKNOWN_TIMING,
    }


def write_strain(path, hours):
    """Write white noise of two detectors in segments of two hours at most."""
    from keras_gw_resnet.simulation.sets import segment_list
    from keras_gw_resnet.strain.writers import mlgwsc1_file

    rng = np.random.default_rng(0)
    with mlgwsc1_file(path, ["H1", "L1"], RATE, compress=False) as add:
        for start, seconds in segment_list(round(hours * 3600)):
            for detector in ("H1", "L1"):
                add(detector, start, rng.standard_normal(seconds * RATE, np.float32) * 1e-21)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--hours", type=float, nargs="+", default=[1.0], help="durations (default: 1)")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    args = parser.parse_args()
    load_keras()

    from keras_gw_resnet.models.registry import build_model, model_info
    from keras_gw_resnet.search.detector import Detector
    from keras_gw_resnet.search.search import search
    from keras_gw_resnet.strain.files import find_segments
    from keras_gw_resnet.strain.stretches import whitened_stretches

    model = build_model(args.model, width=args.width)
    network = Detector(model, card_of(model), args.precision)
    operations = 2 * model_info(args.model, width=args.width).multiply_adds
    with tempfile.TemporaryDirectory() as folder:
        rows, peak = [], matrix_product_rate()
        for hours in args.hours:
            path = Path(folder) / "strain.hdf"
            write_strain(path, hours)
            if not rows:  # to compile the scan and start the threads
                search([network], [path], threshold=10.0) if hours < 0.2 else next(network.scan([path]))
            whole = timeit.timeit(lambda path=path: search([network], [path], threshold=-2.0), number=1)
            conditioning = timeit.timeit(lambda path=path: condition(network, path), number=1)
            after = matrix_product_rate()
            stretch = next(whitened_stretches(find_segments([path]), network.detectors, network.whitening))
            part = stretch.strain[: 512 * RATE]
            scanning = timeit.timeit(lambda part=part: network.scanner.scan(part), number=1) / 512
            rate = operations / scanning / ((peak + after) / 2)
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
            share = 1 - scanning * hours * 3600 / whole
            cells = (f"{hours:g}", f"{hours * 3600 / whole:.0f}", f"{share:.2f}", f"{conditioning / whole:.2f}")
            rows.append([*cells, f"{rate:.2f}", f"{(peak + after) / 2e9:.0f}", f"{memory:.2f}"])
            path.unlink()
        print(f"{args.model} of width {args.width}, {args.precision}:")
        header = ["hours", "times real time", "not network", "conditioning alone", "share of product", "GFLOP/s", "GB"]
        print(table(rows, header))
    stride = round(WINDOW_STRIDE_SECONDS * RATE)
    windows = np.stack([part[i : i + model.input_shape[1]] for i in range(0, 32 * RATE, stride)])
    model.compile(jit_compile=jit_compile())
    model.predict(windows, batch_size=BATCH, verbose=0)
    each = timeit.timeit(lambda: model.predict(windows, batch_size=BATCH, verbose=0), number=1) / 32
    print(f"scan over window by window every {WINDOW_STRIDE_SECONDS} s: {each / scanning:.1f} times as fast")


def condition(network, path):
    """Read and whiten all strain of a file."""
    return sum(stretch.seconds for stretch in network.stretches([path]))


if __name__ == "__main__":
    main()
