"""How fast a search is beside a product of matrices, beside an earlier version of the project, and beside a matched filter of PyCBC.

    git worktree add ../earlier 0795ae8
    python -m benchmarks.search.speed --before ../earlier
    python -m benchmarks.search.speed flagship --hours 24 --turns 1

Of simulated white noise in the challenge's layout, in turns: `real time`, how many times faster than the strain lasts a network is slid over it
(scan) and a whole search is, reading, whitening and what each detector gives alone included; `product`, the rate of a float32 product of two
4096 x 4096 matrices in NumPy around each, and of one core; `share`, operations that a core does in a second of scanning over that. Counted are the operations that are needed: two
for each multiply-add of templates and convolutions, and for orthonormal kernels, where they pay by FFT, 2.5 n log2 n for a real FFT of n values and
8 for each complex product (block of 8192 samples). Milliseconds are those of all cores for a second of strain, which depend
less on what else the machine does. Of each search also the peak of memory, and from the shell how long 32 s take, GW150914.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

RATE, SIZE, TEMPLATES = 2048, 4096, 128
HERE = Path(__file__).parents[2]


def product_rate(repeats=3):
    """Return the floating-point operations of a float32 product of matrices in NumPy: in a second, and in a second of one core."""
    a = np.random.default_rng(0).standard_normal((SIZE, SIZE), np.float32)
    best = np.full(2, np.inf)
    for _ in range(repeats):
        started = np.array([time.perf_counter(), time.process_time()])
        a @ a
        best = np.minimum(best, [time.perf_counter(), time.process_time()] - started)
    return 2 * SIZE**3 / best


def needed_operations(name):
    """Return how many floating-point operations a second of strain needs, see above."""
    from keras_gw_resnet.models.weights import find_model_file
    from keras_gw_resnet.search.plan import plan_in
    from keras_gw_resnet.zoo import load_card

    card, weights = load_card(name), plan_in(find_model_file(name)).weights
    detectors, steps = len(card["detectors"]), RATE / 8
    kernels = [weights[each][0] for each in weights if each in ("template_basis", "statistic_light_basis")]
    early = weights.get("statistic_light_early_basis", [np.zeros((0, 1, 0))])[0]
    low_pass = weights.get("statistic_light_low_pass", [np.zeros((0, 1, 0))])[0]
    if not kernels:
        return 2 * card["multiply_adds"]
    direct = 2 * steps * detectors * sum(each.size for each in [*kernels, early, low_pass])
    block, number = 8192, sum(each.shape[-1] for each in [*kernels, early])
    longest = len(kernels[0]) + (1072 if early.size else 0)
    kept, folded = (block - longest) / 8 + 1, block // 8
    a_block = 2.5 * block * np.log2(block) + number * (2.5 * folded * np.log2(folded) + 8 * 8 * folded / 2)
    return 2 * card["multiply_adds"] - direct + detectors * a_block * steps / kept


def measured(function, seconds):
    """Run a function; return how many times faster than real time it was, and CPU seconds a second of strain."""
    begin, used = time.perf_counter(), time.process_time()
    function()
    return seconds / (time.perf_counter() - begin), (time.process_time() - used) / seconds


def one(name, path, seconds):
    """Measure a network in this process, whichever version of the package it finds; return a dictionary."""
    from keras_gw_resnet.backend import load_keras

    if not (Path(os.environ["PYTHONPATH"]) / "keras_gw_resnet/search/lean.py").exists():
        load_keras()
    from keras_gw_resnet.search.detector import Detector
    from keras_gw_resnet.search.search import search

    network, before = Detector.load(name), product_rate()
    stretch = next(network.stretches([path])).strain[: 512 * RATE]
    network.scanner.scan(stretch)  # to compile, and to start threads
    scan, scan_cpu = measured(lambda: network.scanner.scan(stretch), len(stretch) / RATE)
    alone, search_cpu = measured(lambda: search([network], [path], alone=True), seconds)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    product, of_a_core = (before + product_rate()) / 2
    cpu = {"cpu": scan_cpu, "search cpu": search_cpu}
    return {"scan": scan, "search": alone, **cpu, "product": product, "core": of_a_core, "GB": memory}


def in_version(folder, *arguments):
    """Run this file with the package of a folder; return what it prints as JSON."""
    command = [sys.executable, __file__, *map(str, arguments)]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(folder)}, check=True, stdout=subprocess.PIPE, text=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def from_the_shell(folder, name):
    """Return how many seconds, and how many of all cores, a search of GW150914 takes from the shell, the better of two."""
    from keras_gw_resnet.strain.shipped import SHIPPED

    given = folder, name, SHIPPED["GW150914"]
    with tempfile.TemporaryDirectory() as out:
        return np.min([seconds_of_a_search(*given, f"{out}/{turn}.hdf") for turn in range(2)], axis=0)


def seconds_of_a_search(folder, name, strain, output):
    """Run the command 'search' of the package in a folder; return seconds, and seconds of all cores, array (2,)."""
    command = [sys.executable, "-m", "keras_gw_resnet", "search", name, strain, "--output", output, "--overwrite"]
    begin = _since_the_start()
    # The folder that it runs in comes before PYTHONPATH.
    subprocess.run([str(word) for word in command], cwd=folder, check=True, capture_output=True)
    return _since_the_start() - begin


def _since_the_start():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return np.array([time.perf_counter(), used.ru_utime + used.ru_stime])


def pycbc_speed(seconds=256):
    """Return how many times faster than real time PyCBC filters two detectors with so many templates, segments of 256 s."""
    from pycbc.filter import matched_filter_core
    from pycbc.types import FrequencySeries, TimeSeries

    rng, length = np.random.default_rng(0), 256 * RATE
    values = rng.standard_normal((TEMPLATES, length // 2 + 1), np.float32).astype(np.complex64)
    templates = [FrequencySeries(own, delta_f=1 / 256) for own in values]
    strain = [TimeSeries(rng.standard_normal(length, np.float32), delta_t=1 / RATE) for _ in range(2)]

    def search(templates=templates):
        for _ in range(seconds // 256):
            for series in strain:
                data = series.to_frequencyseries()
                for template in templates:
                    snr, _, norm = matched_filter_core(template, data, low_frequency_cutoff=20, h_norm=1.0)
                    np.max(np.abs(snr.numpy())) * norm

    search(templates[:2])  # to plan the FFTs
    return measured(search, seconds)


def parts(name, seconds=28):
    """Return what the time of a scan goes to: CPU milliseconds of a second of strain, of each part the least of five turns, and the product's rate."""
    from keras_gw_resnet.search.cores import single_threaded_products
    from keras_gw_resnet.search.detector import Detector

    lean, rng = Detector.load(name).scanner._lean, np.random.default_rng(0)
    columns = rng.standard_normal((2, seconds * RATE), np.float32)
    with single_threaded_products():
        given = [lean.own(detector, column, bounded=True) for detector, column in enumerate(columns)]
        mixed = {each: np.zeros((seconds * RATE // 8, 128), np.float32) for each in [lean._mixed]}
        mixed |= {"statistic_pool": np.zeros((seconds * RATE // 32, 1), np.float32)}
        timed = {
            "kernels": lambda: [lean._kernels(column) for column in columns],
            "each detector": lambda: [
                lean.own(detector, column, bounded=True) for detector, column in enumerate(columns)
            ],
            "stack": lambda: lean._stack(**mixed),
            "join": lambda: lean.join(given, np.inf),
        }
        found = {key: 1e3 * min(measured(each, seconds)[1] for _ in range(5)) for key, each in timed.items()}
    found["each detector"] -= found["kernels"]
    found["join"] -= found["stack"]
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", default=["flagship", "resnet18-w16", "aresgw54"], help="saved networks")
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--turns", type=int, default=2, help="of which the best counts (default: 2)")
    parser.add_argument("--before", type=Path, metavar="DIR", help="a checkout of an earlier version")
    parser.add_argument("--pycbc", action="store_true", help="measure PyCBC's matched filter, too")
    parser.add_argument("--parts", action="store_true", help="only say what the time of a scan goes to")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(one(args.networks[0], args.one, args.hours * 3600)))
        return
    if args.parts:
        for name in args.networks:
            each = ", ".join(f"{key} {value:.2f}" for key, value in parts(name).items())
            print(f"{name}, CPU ms a second of strain: {each}; product {product_rate()[1] / 1e9:.0f} GFLOP/s of a core")
        return
    from benchmarks.search.scan import write_strain
    from keras_gw_resnet.commands.printing import table

    versions = [("before", args.before), ("now", HERE)] if args.before else [("now", HERE)]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "strain.hdf"
        write_strain(path, args.hours)
        for name in args.networks:
            needed, found = needed_operations(name), {version: [] for version, _ in versions}
            for _ in range(args.turns):
                for version, place in versions:
                    found[version].append(in_version(place, name, "--one", path, "--hours", args.hours))
            for version, place in versions:
                best = {
                    key: (min if key in ("cpu", "search cpu", "GB") else max)(each[key] for each in found[version])
                    for key in found[version][0]
                }
                rates = (best["product"] / 1e9, best["core"] / 1e9)
                figures = (best["scan"], best["search"], 1e3 * best["cpu"], 1e3 * best["search cpu"], *rates)
                share = needed / best["cpu"] / best["core"]
                cells = [f"{value:.3g}" for value in (*figures, share, best["GB"], *from_the_shell(place, name))]
                rows.append([name, version, *cells])
    header = [
        "network",
        "",
        "scan, times real time",
        "search",
        "scan, ms a second",
        "search",
        "product, GFLOP/s",
        "a core",
    ]
    header += ["share", "GB", "32 s from the shell, s", "of all cores"]
    print(table(rows, header))
    if args.pycbc:
        speed, cpu = pycbc_speed()
        print(
            f"PyCBC, {TEMPLATES} templates, two detectors: {speed:.0f} times real time, {1e3 * cpu:.1f} ms of all cores a second of strain"
        )


if __name__ == "__main__":
    main()
