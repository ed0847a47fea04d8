"""Hard negatives: noise windows that the network in training takes for signals the most."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_gw_resnet.datasets.negative import Negative
from keras_gw_resnet.errors import MALFORMED, InputError, UnreadableError
from keras_gw_resnet.files import written_aside
from keras_gw_resnet.inputs import read_json

if TYPE_CHECKING:
    from keras_gw_resnet.datasets.noise import Noise

# Noise is searched with seeds of its own, in pieces of so many windows.
HARD_SEED, PIECE = 1_000_099, 500
# What of the noise that was searched is hard, and how many of the newest searches are shown.
HARDEST, SHOWN = 0.01, 10
# What is found in a training is shown first after so many epochs, in epochs of at least so many batches: batches are made ahead.
FIRST_EPOCH, LEAST_STEPS = 2, 8


def find_hardest(
    pieces: Iterable[np.ndarray], score: Callable, keep: int, progress: Callable | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Keep the windows that score highest.

    Args:
        pieces: Iterable of strain (n, window_samples, detectors), all of one length but the last.
        score: Function from such strain to statistics (n,).
        keep: How many.
        progress: Called with the number of windows done, piece by piece.

    Returns:
        Tuple (where, strain, statistic): integer array (keep,) of their rising numbers among all, float32 arrays
        (keep, window_samples, detectors) and (keep,).
    """
    stat, strain, at, done = np.empty(0, np.float32), [], np.empty(0, int), 0
    for piece in pieces:
        stat = np.concatenate([stat, score(piece)])
        at = np.concatenate([at, done + np.arange(len(piece))])
        hardest, old = np.sort(np.argsort(-stat, kind="stable")[:keep]), len(strain)
        # Copies: a view of one window would keep its whole piece.
        strain = [strain[i] if i < old else piece[i - old].copy() for i in hardest]
        stat, at = stat[hardest], at[hardest]
        done += len(piece)
        if progress is not None:
            progress(len(piece))
    return at, np.stack(strain), stat


class HardNoise:
    """Noise windows that a network takes for signals: found ahead, found by the network in training, or both.

    Before each epoch but the first noise is searched with the network in training, and its hardest windows are kept.

    Other than in online hard example mining (arXiv 1604.03540), where the batch itself is searched, the noise is
    searched ahead. What is found before an epoch is shown from the next one on: batches are made before they are needed, and
    what a batch holds has to follow from its index.

    Args:
        noise: FileNoise, GaussianNoise or MixedNoise of the training.
        seed: Of the training.
        windows: How many are searched before an epoch; 0: none.
        steps_per_epoch: Batches an epoch.
        ahead: Windows found ahead, float32 array (n, window_samples, detectors); None: none.
        begun: Whether the network begins with trained weights. Those found ahead are shown from its first batch on then, else
            from the third epoch on: they would hinder a network that knows nothing.
    """

    def __init__(
        self,
        noise: Noise,
        *,
        seed: int,
        windows: int,
        steps_per_epoch: int,
        ahead: np.ndarray | None = None,
        begun: bool = False,
    ) -> None:
        self.windows, self.ahead, self._noise, self._seed, self._steps = windows, ahead, noise, seed, steps_per_epoch
        self._first = 0 if begun and ahead is not None else FIRST_EPOCH * steps_per_epoch
        # After how many epochs: where in the noise that was searched then the hardest windows are, and their strain.
        self._found, self._strain = {}, {}

    def _piece(self, epoch, number):
        rng = np.random.default_rng((HARD_SEED, self._seed, epoch, number))
        return self._noise.draw(rng, min(PIECE, self.windows - number * PIECE))[0]

    def search(self, epoch: int, score: Callable, progress: Callable | None = None) -> None:
        """Search noise and keep its hardest windows.

        Args:
            epoch: Number of epochs done.
            score: Function from strain (n, window_samples, detectors) to statistics (n,).
            progress: Called with the number of windows done, piece by piece.
        """
        pieces = (self._piece(epoch, number) for number in range(-(-self.windows // PIECE)))
        at, strain, _ = find_hardest(pieces, score, max(1, round(HARDEST * self.windows)), progress)
        self._take(epoch, at, strain)

    def _take(self, epoch, at, strain):
        self._found[epoch], self._strain[epoch] = at.tolist(), strain
        # The batches made ahead of the newest search show the one before the oldest of the others.
        for old in sorted(self._found)[: -SHOWN - 1]:
            del self._found[old], self._strain[old]

    def ready(self, index: int) -> bool:
        """Say whether there are hard windows for batch `index`.

        Raises:
            InputError: The search that the batch has to wait for is not done.
        """
        return index >= self._first and (self.ahead is not None or self._searched(index))

    def ever_ready(self, epochs: int) -> bool:
        """Say whether a training of so many epochs shows any."""
        return epochs * self._steps > self._first and (
            self.ahead is not None or (self.windows > 0 and epochs > FIRST_EPOCH)
        )

    def _searched(self, index):
        epoch = index // self._steps
        if self.windows and epoch > 1 and epoch - 1 not in self._strain:
            raise InputError(
                "--negatives.hard_share: batches are made more than an epoch ahead; take more --steps-per-epoch"
            )
        return bool(self.windows) and epoch > 1

    def draw(self, rng: np.random.Generator, number: int, index: int) -> np.ndarray:
        """Draw hard windows for batch `index`, for which there are some: float32 array (number, window_samples, detectors).

        Those found ahead and those of the newest searches are shown alike often, where there are both.
        """
        epoch, sources = index // self._steps, []
        if self._searched(index):
            sources = [self._strain[before] for before in range(epoch - SHOWN, epoch) if before in self._strain]
        if self.ahead is not None:
            sources += [self.ahead] * max(1, len(sources))
        chosen = [sources[which] for which in rng.integers(len(sources), size=number)]
        return np.stack([strain[rng.integers(len(strain))] for strain in chosen])

    def save(self, path: Path | str) -> None:
        """Write down where the hard windows are, so that a run that goes on finds them again."""
        with written_aside(path) as aside:
            aside.write_text(json.dumps(self._found))

    def restore(self, path: Path | str, done: int) -> None:
        """Draw the hard windows again that a run had found before epoch `done` ended.

        Raises:
            InputError: The file is damaged.
        """
        path = Path(path)
        if not path.exists():
            return
        damaged = f"{path}: is damaged; start afresh with --overwrite"
        try:
            found = {int(epoch): np.array(at) for epoch, at in read_json(path, "where hard windows are").items()}
        except UnreadableError:
            raise
        except MALFORMED as error:
            raise InputError(damaged) from error
        if min(found, default=0) < 0:
            raise InputError(damaged)
        for at in found.values():
            rising = at.ndim == 1 and len(at) and at.dtype.kind == "i" and np.all(np.diff(at) > 0)
            if not (rising and at[0] >= 0 and at[-1] < self.windows):
                raise InputError(damaged)
        for epoch, at in found.items():
            if epoch < done:
                pieces = [
                    self._piece(epoch, number)[at[at // PIECE == number] % PIECE] for number in np.unique(at // PIECE)
                ]
                self._take(epoch, at, np.concatenate(pieces))


class HardNegative(Negative):
    """Noise that networks take for signals the most.

    Args:
        found: HardNoise; None: there is none.
        about: For the card.
        options: Of a HardNoise of the noise that it is shown in; None: `found` is all there is.
    """

    name, share, from_files = "hard noise", "hard_share", True

    def __init__(self, found: HardNoise | None = None, about: dict | None = None, options: dict | None = None) -> None:
        self.found, self._about, self._options = found, about or {}, options

    @classmethod
    def open(cls, config):
        """Read the windows that were found ahead; see `Negative.open`.

        Raises:
            InputError: They cannot be read, hold signals, or do not fit the run.
        """
        own, ahead, about = config.negatives, None, {}
        if not own.hard_share:
            return cls()
        if own.hard_noise:
            ahead, source, number = _windows_found(config)
            about = {"hard_noise": {"file": Path(own.hard_noise).name, "windows": number, "source": source}}
        counts = {"windows": own.hard_windows, "steps_per_epoch": config.optimisation.steps_per_epoch}
        begun = bool(config.network.options.get("weights"))
        return cls(about=about, options={"seed": config.seed, "ahead": ahead, "begun": begun, **counts})

    def split(self, share):
        """Return this and nothing: the noise of a validation is ordinary."""
        return self, HardNegative()

    def fingerprint(self, kept, held_out):
        """Return where windows found ahead are from."""
        return self._about

    def within(self, noise):
        """Return this with that noise to search."""
        return self if self._options is None else HardNegative(HardNoise(noise, **self._options), self._about)

    def ready(self, index):
        """Say whether hard noise has been found for batch `index`."""
        return self.found is not None and self.found.ready(index)

    def add(self, batches, rng, strain, filters, rows, index):
        """Show hard noise in place of any."""
        strain[rows] = self.found.draw(rng, len(rows), index)
        return 0.0, -1


def _windows_found(config):
    """Read the hard windows of a run: (strain, where they are from, their number)."""
    from keras_gw_resnet.datasets.windows import LabelledWindows, open_windows

    path, data = config.negatives.hard_noise, config.data
    header = open_windows(path)
    header.require(data.window_samples, data.detectors, data.whitening.sample_rate, "the run asks for")
    if np.any(header.label):
        raise InputError(f"{path}: holds signals; --negatives.hard_noise takes windows of noise")
    if not header.number:
        raise InputError(f"{path}: holds no window")
    strain = LabelledWindows(header, np.arange(header.number), batch_size=header.number, seed=None)[0][0]
    return strain, header.source, header.number
