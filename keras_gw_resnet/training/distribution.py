"""Devices to train on."""

import contextlib

from keras_gw_resnet.errors import InputError


def device_scope(devices=None):
    """Return a context in which a model built and compiled trains on several local devices.

    Args:
        devices: How many; None: all GPUs of this machine, or its CPU. Where there are fewer GPUs than asked for,
            the CPU is divided into that many logical devices, which is slower than one, but shows that the
            training runs distributed.

    Returns:
        The scope of a `tf.distribute.MirroredStrategy`, or an empty context for one device.

    Raises:
        InputError: Fewer than one device, or TensorFlow has already fixed the number of devices.
    """
    import tensorflow as tf

    if devices is not None and devices < 1:
        raise InputError(f"--devices is {devices}; expected at least 1")
    gpus = tf.config.list_logical_devices("GPU") if tf.config.list_physical_devices("GPU") else []
    devices = devices or max(1, len(gpus))
    if devices == 1:
        return contextlib.nullcontext()
    if len(gpus) >= devices:
        names = [gpu.name for gpu in gpus[:devices]]
    else:
        try:
            cpu = tf.config.list_physical_devices("CPU")[0]
            tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * devices)
        except RuntimeError as error:
            raise InputError(f"--devices {devices}: TensorFlow already runs with another number of devices") from error
        names = [f"CPU:{i}" for i in range(devices)]
    return tf.distribute.MirroredStrategy(names).scope()
