"""Batches as a tf.data set of known length."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from keras_gw_resnet.backend import cores

if TYPE_CHECKING:
    import tensorflow as tf

# Batches that wait for the one that is asked for, and those that are on their way to several devices.
READY, ON_THEIR_WAY = 4, 3


def to_dataset(
    batches: Any, first: int, count: int, *, parallel: int | None = None, ahead: int | None = None, fresh: bool = False
) -> tf.data.Dataset:
    """Wrap batches [first, first + count) in a tf.data.Dataset that makes them ahead of time.

    Args:
        batches: Anything with `batches[index] -> (strain, label)`, a pure function of the index.
        first: Index of the first batch.
        count: How many; also the set's cardinality.
        parallel: Batches made at once; None: one a core.
        ahead: At most so many batches are made ahead, 5 or more; None: no matter.
        fresh: Whether each pass through the set makes the next `count` batches, and not the same again.

    Returns:
        tf.data.Dataset of (strain float32 (batch, samples, detectors), label float32 (batch, 1)).
    """
    import tensorflow as tf

    strain, label = batches[first]

    def make(index):
        example = tf.numpy_function(lambda i: batches[int(i)], [index], (tf.float32, tf.float32), stateful=False)
        return tuple(tf.ensure_shape(t, like.shape) for t, like in zip(example, (strain, label), strict=True))

    passes = itertools.count()

    def following():
        begin = first + next(passes) * count
        yield from range(begin, begin + count)

    if fresh:
        indices = tf.data.Dataset.from_generator(following, output_signature=tf.TensorSpec((), tf.int64))
        indices = indices.apply(tf.data.experimental.assert_cardinality(count))
    else:
        indices = tf.data.Dataset.range(first, first + count)
    parallel, ready = parallel or cores(), READY
    if ahead is not None:
        ready = max(1, min(READY, (ahead - ON_THEIR_WAY) // 2))
        parallel = max(1, min(parallel, ahead - ON_THEIR_WAY - ready))
    return indices.map(make, num_parallel_calls=parallel, deterministic=True).prefetch(ready)
