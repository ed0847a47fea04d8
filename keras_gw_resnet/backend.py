"""How networks are compiled."""

import keras


def jit_compile():
    """Return the `jit_compile` to give to `keras.Model.compile`.

    Under TensorFlow XLA makes convolution stacks slower on CPU, and may not be forced under MirroredStrategy.
    """
    return False if keras.backend.backend() == "tensorflow" else "auto"
