"""Devices to train on."""

import contextlib

from keras_gw_resnet.errors import InputError


def prepare_devices(devices=None):
    """Fix the devices to train on, before TensorFlow starts them.

    Args:
        devices: How many; None: all GPUs of this machine, or its CPU. Where there are fewer GPUs than asked for,
            the CPU is divided into that many logical devices, which is slower than one, but shows that the
            training runs distributed.

    Returns:
        List of device names.

    Raises:
        InputError: Fewer than one device, or TensorFlow already runs with another number of devices.
    """
    import tensorflow as tf

    if devices is not None and devices < 1:
        raise InputError(f"--devices is {devices}; expected at least 1")
    gpus = tf.config.list_physical_devices("GPU")
    devices = devices or max(1, len(gpus))
    if len(gpus) >= devices:
        return [f"GPU:{i}" for i in range(devices)]
    # On CPUs a run can be repeated, and resumed, to the bit; on GPUs that would cost speed.
    tf.config.experimental.enable_op_determinism()
    if devices > 1:
        cpu = tf.config.list_physical_devices("CPU")[0]
        try:
            tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * devices)
        except RuntimeError as error:
            raise InputError(f"--devices {devices}: TensorFlow already runs with another number of devices") from error
    return [f"CPU:{i}" for i in range(devices)]


def device_scope(names):
    """Return a context in which a model built and compiled trains on all these devices.

    Args:
        names: Device names from `prepare_devices`.

    Returns:
        The scope of a `tf.distribute.MirroredStrategy`, or an empty context for one device.
    """
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(names).scope() if len(names) > 1 else contextlib.nullcontext()
