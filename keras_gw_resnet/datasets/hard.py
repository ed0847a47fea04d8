"""Hard negatives: noise windows that the network in training takes for signals the most."""

import json
from pathlib import Path

import numpy as np

from keras_gw_resnet.errors import InputError
from keras_gw_resnet.files import written_aside

# Noise is searched with seeds of its own, in pieces of so many windows.
HARD_SEED, PIECE = 1_000_099, 500
# What of the noise that was searched is hard, and how many of the newest searches are shown.
HARDEST, SHOWN = 0.01, 10


class HardNoise:
    """The hardest windows of noise that is searched with the network before each epoch but the first.

    Other than in online hard example mining (arXiv 1604.03540), where the batch itself is searched, the noise is
    searched ahead. What is found before an epoch is shown from the next one on: batches are made before they are needed, and
    what a batch holds has to follow from its index.

    Args:
        noise: FileNoise, GaussianNoise or MixedNoise of the training.
        seed: Of the training.
        windows: How many are searched before an epoch.
        steps_per_epoch: Batches an epoch.
    """

    def __init__(self, noise, *, seed, windows, steps_per_epoch):
        self.windows, self._noise, self._seed, self._steps = windows, noise, seed, steps_per_epoch
        # After how many epochs: where in the noise that was searched then the hardest windows are, and their strain.
        self._found, self._strain = {}, {}

    def _piece(self, epoch, number):
        rng = np.random.default_rng((HARD_SEED, self._seed, epoch, number))
        return self._noise.draw(rng, min(PIECE, self.windows - number * PIECE))[0]

    def search(self, epoch, score, progress=None):
        """Search noise and keep its hardest windows.

        Args:
            epoch: Number of epochs done.
            score: Function from strain (n, window_samples, detectors) to statistics (n,).
            progress: Called with the number of windows done, piece by piece.
        """
        keep = max(1, round(HARDEST * self.windows))
        stat, strain, at = (np.empty(0, np.float32), [], np.empty(0, int))
        for number in range(-(-self.windows // PIECE)):
            piece = self._piece(epoch, number)
            stat = np.concatenate([stat, score(piece)])
            at = np.concatenate([at, number * PIECE + np.arange(len(piece))])
            strain.extend(piece)
            hardest = np.sort(np.argsort(-stat, kind="stable")[:keep])
            stat, at, strain = stat[hardest], at[hardest], [strain[i].copy() for i in hardest]
            if progress is not None:
                progress(len(piece))
        self._take(epoch, at, np.stack(strain))

    def _take(self, epoch, at, strain):
        self._found[epoch], self._strain[epoch] = at.tolist(), strain
        # The batches made ahead of the newest search show the one before the oldest of the others.
        for old in sorted(self._found)[: -SHOWN - 1]:
            del self._found[old], self._strain[old]

    def ready(self, index):
        """Say whether there are hard windows for batch `index`: not in the first two epochs.

        Raises:
            InputError: The search that the batch has to wait for is not done.
        """
        epoch = index // self._steps
        if epoch > 1 and epoch - 1 not in self._strain:
            raise InputError("--hard-share: batches are made more than an epoch ahead; take more --steps-per-epoch")
        return epoch > 1

    def draw(self, rng, number, index):
        """Draw hard windows for batch `index`, for which there are some: float32 array (number, window_samples, detectors)."""
        epoch = index // self._steps
        searches = [self._strain[before] for before in range(epoch - SHOWN, epoch) if before in self._strain]
        chosen = [searches[which] for which in rng.integers(len(searches), size=number)]
        return np.stack([strain[rng.integers(len(strain))] for strain in chosen])

    def save(self, path):
        """Write down where the hard windows are, so that a run that goes on finds them again."""
        with written_aside(path) as aside:
            aside.write_text(json.dumps(self._found))

    def restore(self, path, done):
        """Draw the hard windows again that a run had found before epoch `done` ended.

        Raises:
            InputError: The file is damaged.
        """
        try:
            found = {int(epoch): np.array(at, int) for epoch, at in json.loads(Path(path).read_text()).items()}
        except FileNotFoundError:
            return
        except (ValueError, AttributeError) as error:
            raise InputError(f"{path}: is damaged; start afresh with --overwrite") from error
        for epoch, at in found.items():
            if epoch < done:
                pieces = [
                    self._piece(epoch, number)[at[at // PIECE == number] % PIECE] for number in np.unique(at // PIECE)
                ]
                self._take(epoch, at, np.concatenate(pieces))
