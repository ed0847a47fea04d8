"""Devices and processes to train on."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Generator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from keras_gw_resnet.errors import InputError, first_line
from keras_gw_resnet.training.rendezvous import meet

if TYPE_CHECKING:
    from keras_gw_resnet.training.config import TrainingConfig

# How long a process waits for the coordinator, and the coordinator for the others.
PATIENCE_SECONDS = int(os.environ.get("KERAS_GW_RESNET_PATIENCE_SECONDS", "300"))


@dataclass(frozen=True)
class Place:
    """Where a training runs.

    Attributes:
        devices: Names of the local devices.
        process, processes: Which of how many processes this is.
        description: For the user and the card.
    """

    devices: tuple
    process: int = 0
    processes: int = 1
    description: str = "on one device"

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.process == 0

    @property
    def replicas(self) -> int:
        """How many copies of the network there are: one a device under TensorFlow; JAX divides the batch of one network."""
        import keras

        return len(self.devices) if keras.backend.backend() == "tensorflow" else 1

    def scope(self) -> AbstractContextManager:
        """Return a context in which a network built and compiled trains on all devices.

        That of a `tf.distribute.MirroredStrategy` under TensorFlow with several devices; under JAX the distribution is
        set for good, and the context is empty.
        """
        if self.replicas == 1:
            return contextlib.nullcontext()
        import tensorflow as tf

        return tf.distribute.MirroredStrategy(self.devices).scope()


def leave() -> None:
    """Take leave of the other processes: from here on this one works alone."""
    import keras

    keras.distribution.set_distribution(None)
    if keras.backend.backend() == "jax":
        import jax

        if jax.process_count() > 1:
            jax.distributed.shutdown()


@contextlib.contextmanager
def undistributed() -> Generator[None]:
    """Let this process work alone while the block runs: what it computes is not spread over all processes."""
    import keras

    distribution = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(distribution)


def prepare(
    config: TrainingConfig, coordinator: str | None = None, processes: int | None = None, process_id: int | None = None
) -> Place:
    """Start the devices, and join the other processes, before the backend computes anything.

    Args:
        config: TrainingConfig; devices: how many, None: all GPUs of this machine, or its CPU. Where there are fewer
            GPUs than asked for, the CPU is divided into that many logical devices, which is slower than one, but shows
            that the training runs distributed.
        coordinator: "HOST:PORT" of process 0; None: one process, or what Slurm or Open MPI say.
        processes, process_id: How many, and which this is, from 0.

    Returns:
        Place.

    Raises:
        InputError: More than one process without JAX, a coordinator that does not answer, devices that do not fit.
    """
    import keras

    backend = keras.backend.backend()
    if "TF_CONFIG" in os.environ and backend == "tensorflow":
        raise InputError(
            "TF_CONFIG is set, but MultiWorkerMirroredStrategy does not work with fit in Keras 3 (keras issue 20585); "
            "unset it, and train on several machines with --backend jax --coordinator HOST:PORT"
        )
    given = [coordinator, processes, process_id]
    if any(v is not None for v in given) and any(v is None for v in given):
        raise InputError("--coordinator, --processes and --process-id belong together")
    if coordinator is None:
        coordinator, processes, process_id = _launched()
    elif processes < 1 or not 0 <= process_id < processes:
        raise InputError(f"--process-id {process_id} of --processes {processes}; expected one from 0 to their number")
    several = processes > 1
    if several and backend != "jax":
        raise InputError("several processes train together with --backend jax alone")
    if backend == "jax":
        return _prepare_jax(config, several, coordinator, processes, process_id)
    if backend != "tensorflow":
        return Place(("cpu:0",))
    names = prepare_devices(config.devices.number)
    if config.optimisation.batch_size % len(names):
        raise InputError(f"--batch-size {config.optimisation.batch_size} cannot be divided among {len(names)} devices")
    return Place(tuple(names), description=_describe(names, 1))


def prepare_devices(devices: int | None = None) -> list[str]:
    """Fix TensorFlow's devices; see `prepare`.

    Returns:
        List of device names.
    """
    import tensorflow as tf

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


# What Slurm sets in a step of several tasks.
SLURM = ("SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID")
FIRST_PORT, PORTS = 61440, 4096


def _launched():
    """Return (coordinator, processes, process) as Slurm or Open MPI started this process.

    Of Open MPI JAX finds the coordinator itself (None); without either there is one process.
    """
    if all(name in os.environ for name in SLURM):
        host = re.match(r"([^\[,]+)(?:\[(\d+))?", os.environ["SLURM_STEP_NODELIST"])
        port = FIRST_PORT + int(os.environ["SLURM_JOB_ID"]) % PORTS
        coordinator = f"{host[1]}{host[2] or ''}:{port}"
        return coordinator, int(os.environ["SLURM_NTASKS"]), int(os.environ["SLURM_PROCID"])
    if "OMPI_COMM_WORLD_SIZE" in os.environ:
        return None, int(os.environ["OMPI_COMM_WORLD_SIZE"]), int(os.environ["OMPI_COMM_WORLD_RANK"])
    return None, 1, 0


def _prepare_jax(config, several, coordinator, processes, process_id):
    import jax
    import keras

    with contextlib.suppress(ImportError):
        # Keras imports it anyway when it fits; here it stays quiet, and off the GPUs.
        import tensorflow as tf

        tf.config.set_visible_devices([], "GPU")
    if config.devices.number and config.devices.number > 1:
        jax.config.update("jax_num_cpu_devices", config.devices.number)
    if several:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        # JAX would catch SIGTERM for itself, and the training would not end.
        jax.config.update("jax_enable_preemption_service", False)
        _join(jax, coordinator, processes, process_id)
    local = [f"{d.platform}:{d.id}" for d in jax.local_devices()]
    if config.devices.number and config.devices.number != len(local):
        raise InputError(f"--devices.number {config.devices.number}: JAX has {len(local)} ({', '.join(local)})")
    count = len(jax.devices())
    if config.optimisation.batch_size % count:
        raise InputError(f"--batch-size {config.optimisation.batch_size} cannot be divided among {count} devices")
    if count > 1:
        keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))
    return Place(tuple(local), jax.process_index(), jax.process_count(), _describe(local, jax.process_count()))


def _join(jax, coordinator, processes, process_id):
    if coordinator is not None:
        meet(coordinator, processes, process_id, PATIENCE_SECONDS)
    try:
        if coordinator is None:
            jax.distributed.initialize(initialization_timeout=PATIENCE_SECONDS)
        else:
            jax.distributed.initialize(coordinator, processes, process_id, initialization_timeout=PATIENCE_SECONDS)
    except (RuntimeError, ValueError) as error:
        raise InputError(f"the processes did not find one another ({first_line(error)}); start all of them") from error


def _describe(names, processes):
    kind = {"gpu": "GPU", "cpu": "CPU", "cuda": "GPU"}.get(names[0].split(":")[0].lower(), names[0])
    devices = f"{len(names)} {kind} device{'s' if len(names) > 1 else ''}"
    return f"on {devices}" + (f" in each of {processes} processes" if processes > 1 else "")
