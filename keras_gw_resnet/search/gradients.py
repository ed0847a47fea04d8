"""Gradients of what Keras computes, with the backend that it runs on; Keras itself has no function for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np


def gradient(function: Callable[[Any], Any], values: np.ndarray) -> np.ndarray:
    """Return the gradient of each value of a function with respect to what gave it.

    Args:
        function: From a tensor (n, ...) to a tensor (n,), row by row.
        values: float32 array (n, ...).

    Returns:
        float32 array of the shape of `values`.
    """
    if keras.backend.backend() == "jax":
        import jax

        return np.asarray(jax.grad(lambda given: keras.ops.sum(function(given)))(keras.ops.convert_to_tensor(values)))
    import tensorflow as tf

    tensor = tf.convert_to_tensor(values)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        result = function(tensor)
    return tape.gradient(result, tensor).numpy()
