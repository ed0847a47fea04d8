"""Batches as a keras.utils.PyDataset, for the JAX and PyTorch backends and machines without TensorFlow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras

from keras_gw_resnet.backend import cores

if TYPE_CHECKING:
    import numpy as np

# Batches that wait for the one that is asked for; Keras takes a few more ahead.
READY, ON_THEIR_WAY = 8, 5


class BatchSequence(keras.utils.PyDataset):
    """Batches [first, first + count) in order, made ahead of time by threads.

    NumPy's transforms leave Python's lock, so that threads do, and the noise is held in memory once.

    Args:
        batches: Anything with `batches[index] -> (strain, label)`, a pure function of the index.
        first: Index of the first batch.
        count: How many.
        workers: Threads; None: one a core.
        ahead: At most so many batches are made ahead, 8 or more; None: no matter.
        fresh: Whether each epoch has the next `count` batches, and not the same again.
    """

    def __init__(
        self,
        batches: Any,
        first: int,
        count: int,
        *,
        workers: int | None = None,
        ahead: int | None = None,
        fresh: bool = False,
    ) -> None:
        queue = READY if ahead is None else max(1, min(READY, ahead - ON_THEIR_WAY))
        super().__init__(workers=workers or cores(), use_multiprocessing=False, max_queue_size=queue)
        self.batches, self.first, self.count, self.fresh = batches, first, count, fresh

    def __len__(self) -> int:
        """Return the number of batches."""
        return self.count

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return batch `first + index` as (strain, label)."""
        return self.batches[self.first + index]

    def on_epoch_end(self) -> None:
        """Go on to the next batches, where each epoch has other ones."""
        self.first += self.count * self.fresh
