"""What time slides cost: a search with slides over one without, both in this process, in turns.

    python -m benchmarks.search.slides flagship resnet18-w16 --hours 1 --slides 20

Of simulated white noise in the challenge's layout: the median of the ratios of seconds of all cores, with and without what each detector alone gives; the
largest difference of scores from slides that are each scanned by themselves; and the peak of memory of this process.
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.search.scan import write_strain
from keras_gw_resnet.backend import load_keras
from keras_gw_resnet.commands.printing import table


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="+", help="saved networks")
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--slides", type=int, default=20)
    parser.add_argument("--turns", type=int, default=3)
    args = parser.parse_args()
    load_keras()

    from keras_gw_resnet.search.background import arranged, slide_shifts
    from keras_gw_resnet.search.detector import Detector

    with tempfile.TemporaryDirectory() as folder:
        path, rows = Path(folder) / "strain.hdf", []
        write_strain(path, args.hours)
        for name in args.networks:
            network = Detector.load(name)

            _seconds(network, path, slides=1)  # to compile
            ratios = []
            for _ in range(args.turns):
                one = _seconds(network, path)
                ratios.append(
                    [
                        _seconds(network, path, slides=args.slides) / one,
                        _seconds(network, path, slides=args.slides, alone=True) / one,
                    ]
                )
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
            stretch = next(network.stretches([path]))
            shifts = slide_shifts(network, stretch, 3)
            slid = network.scanner.scan_arranged(stretch.strain, shifts)
            direct = [network.scanner.scan(arranged(stretch.strain, own)) for own in shifts]
            apart = max(np.max(np.abs(own.scores - other.scores)) for own, other in zip(slid, direct, strict=True))
            rows.append(
                [name, *(f"{value:.1f}" for value in np.median(ratios, axis=0)), f"{apart:.1g}", f"{memory:.2f}"]
            )
        header = ["network", f"{args.slides} slides over one search", "and each alone", "difference of scores", "GB"]
        print(table(rows, header))


def _seconds(network, path, **options):
    """Search; return the seconds of all cores that it took."""
    from keras_gw_resnet.search.search import search

    begin = time.process_time()
    search([network], [path], threshold=-2.0, **options)
    return time.process_time() - begin


if __name__ == "__main__":
    main()
