"""Time to make a waveform bank, against the bare PyCBC calls divided by the processes used.

    python benchmarks/simulation/bank.py --number 400

The bare calls are timed in this process, one after the other, on waveforms of the same population and seed; the bank is
made by as many processes as there are cores, from its first line to the finished file. At most 1.3 is wanted for 8000.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--number", type=int, default=400)
    parser.add_argument("--population", default="set3")
    args = parser.parse_args()

    from keras_gw_resnet.simulation.bank import save_bank
    from keras_gw_resnet.simulation.populations import draw, get_population
    from keras_gw_resnet.simulation.waveforms import make_bank, polarizations

    population, processes = get_population(args.population), len(os.sched_getaffinity(0))
    drawn = draw(population, args.number, np.random.default_rng(0))
    rows = [{name: values[i] for name, values in drawn.items()} for i in range(args.number)]
    polarizations(rows[0], population, 2048)
    started = time.perf_counter()
    for row in rows:
        polarizations(row, population, 2048)
    bare = time.perf_counter() - started
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        save_bank(make_bank(args.population, args.number, seed=0), Path(folder) / "bank.hdf")
    bank = time.perf_counter() - started
    print(
        f"{args.number} waveforms of {args.population}, {processes} processes: {bank * processes / bare:.2f} times the bare calls"
    )


if __name__ == "__main__":
    main()
