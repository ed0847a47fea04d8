"""How long the command 'search' takes, from the shell to the table, beside an earlier version of the project.

    git worktree add ../earlier 03188c5
    python -m benchmarks.search.commands flagship real --before ../earlier

Each strain (a file or a folder) is searched by both versions in turns, and so are `--hours` of simulated
white noise: seconds and seconds of all cores, in the median, and their ratios, beside the rate of a product of matrices in NumPy.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.search.scan import write_strain
from benchmarks.search.speed import HERE, product_rate, seconds_of_a_search
from keras_gw_resnet.commands.printing import table


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", help="saved network, or a name that both versions know")
    parser.add_argument("strain", nargs="*", type=Path, help="files or folders")
    parser.add_argument("--before", type=Path, required=True, metavar="DIR", help="a checkout of an earlier version")
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--turns", type=int, default=2)
    args = parser.parse_args()
    product, rows = product_rate()[0] / 1e9, []
    with tempfile.TemporaryDirectory() as folder:
        noise = Path(folder) / "noise.hdf"
        write_strain(noise, args.hours)
        given = {f"{args.hours:g} h of noise": noise}
        given |= {path.name: path.resolve() for path in args.strain}
        for name, strain in given.items():
            turns = [
                [
                    seconds_of_a_search(version, args.network, strain, f"{folder}/{number}.hdf")
                    for number, version in enumerate((args.before, HERE))
                ]
                for _ in range(args.turns)
            ]
            before, now = np.median(turns, axis=0)
            ratio, of_cores = now / before
            rows.append([name, *(f"{value:.1f}" for value in (*before, *now)), f"{ratio:.2f}", f"{of_cores:.2f}"])
    header = ["strain", "s before", "of all cores", "s now", "of all cores", "ratio", "of all cores"]
    print(table(rows, header))
    print(f"product of matrices: {product:.0f} GFLOP/s")


if __name__ == "__main__":
    main()
