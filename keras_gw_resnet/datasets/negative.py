"""What every kind of negative is: a source of examples without a signal, opened, split and told of like all that a training reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from keras_gw_resnet.datasets.batches import InjectionBatches
    from keras_gw_resnet.datasets.noise import Noise


class Negative:
    """A kind of negatives, opened for the noise that it is added to.

    `add` asks for rows, not for labels: called for rows that hold a signal, it would put the same beside it.

    Attributes:
        name: What examples of it are called.
        share: Field of `Negatives` that says how many there are.
        from_files: Whether what it shows is read from a file that has to be named.
    """

    name = share = ""
    from_files = False

    @classmethod
    def open(cls, config: Any) -> Negative:
        """Read what this kind shows.

        Args:
            config: TrainingConfig.
        """
        return cls()

    def split(self, share: float) -> tuple[Negative, Negative]:
        """Return this kind for training and, of what it shows that share held out, for validation."""
        return self, self

    def fingerprint(self, kept: Any, held_out: Any) -> dict:
        """Return what the card of a network says about the two that `split` gave, a dictionary."""
        return {}

    def within(self, noise: Noise) -> Negative | None:
        """Return this kind as it is shown in such noise; None: it cannot be."""
        return self

    def ready(self, index: int) -> bool:
        """Say whether it can be shown in batch `index` already; noise is shown in its place until then."""
        return True

    def add(
        self,
        batches: InjectionBatches,
        rng: np.random.Generator,
        strain: np.ndarray,
        filters: np.ndarray,
        rows: np.ndarray,
        index: int,
    ) -> tuple:
        """Make rows of a block into examples of this kind.

        Args:
            batches: InjectionBatches.
            rng: numpy Generator.
            strain: Whitened noise, float32 array (n, samples, detectors), changed in place.
            filters: Whitening filters of the noise, integer array (n, detectors).
            rows: Integer array, which examples.
            index: Index of the batch.

        Returns:
            Tuple (snr, waveform) of what was added, of each or of all rows; -1: no waveform of the bank.
        """
        raise NotImplementedError
