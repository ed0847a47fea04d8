"""Share batches out among processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keras_gw_resnet.errors import InputError

if TYPE_CHECKING:
    import numpy as np


class Shard:
    """The rows of every batch that one of several processes feeds; all shards together are the whole batch, in order.

    Args:
        batches: Anything with `rows(index, first, last) -> (strain, label)` and `batch_size`.
        index: Which process, from 0.
        count: How many processes.

    Raises:
        InputError: The batch cannot be divided, or there is no such process.
    """

    def __init__(self, batches: Any, index: int, count: int) -> None:
        if not 0 <= index < count:
            raise InputError(f"process {index} of {count}; expected one from 0 to {count - 1}")
        if batches.batch_size % count:
            raise InputError(f"a batch of {batches.batch_size} cannot be divided among {count} processes")
        self.batches, self.batch_size = batches, batches.batch_size // count
        self._rows = index * self.batch_size, (index + 1) * self.batch_size

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return this process' rows of batch `index` as (strain, label)."""
        return self.batches.rows(index, *self._rows)
