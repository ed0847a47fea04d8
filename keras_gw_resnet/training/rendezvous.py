"""Wait until all processes of a training are there, before JAX, which aborts where one is missing, connects them."""

import contextlib
import socket
import time

from keras_gw_resnet.errors import InputError

LOOPBACK = ("localhost", "127.0.0.1")
HERE, GO = b"h", b"g"


def meet(coordinator: str, processes: int, process: int, seconds: float) -> None:
    """Return when all processes have called this.

    Args:
        coordinator: "HOST:PORT" of process 0, which listens there for the others.
        processes: How many.
        process: Which this is, from 0.
        seconds: How long to wait.

    Raises:
        InputError: An address that is none, one in use, or a process that does not come in time.
    """
    host, colon, port = coordinator.rpartition(":")
    if not colon or not port.isdigit() or not 0 < int(port) < 2**16:
        raise InputError(f"--coordinator {coordinator}: expected HOST:PORT")
    deadline = time.monotonic() + seconds
    if process == 0:
        _await_others(host, int(port), processes, deadline, seconds)
    else:
        _report(host, int(port), deadline, seconds)
        _await_service(host, int(port), deadline)


def _await_others(host, port, processes, deadline, seconds):
    with contextlib.ExitStack() as stack:
        try:
            # A host's own name may lead to its loopback, where no other host can reach it.
            address = host if host in LOOPBACK else ""
            server = stack.enter_context(socket.create_server((address, port)))
        except OSError as error:
            raise InputError(f"--coordinator {host}:{port}: {error.strerror}; choose another port") from error
        there = []
        while len(there) < processes - 1:
            server.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                connection, _ = server.accept()
                stack.enter_context(connection)
                connection.settimeout(1)
                if connection.recv(1) == HERE:
                    there.append(connection)
            except TimeoutError:
                if time.monotonic() < deadline:
                    continue
                raise InputError(
                    f"--coordinator {host}:{port}: {len(there)} of the {processes - 1} other processes came within "
                    f"{seconds} s; start all of them"
                ) from None
        server.close()
        for connection in there:
            connection.sendall(GO)
        # They close first, which leaves the port free at once.
        for connection in there:
            connection.settimeout(5)
            with contextlib.suppress(OSError):
                connection.recv(1)


def _report(host, port, deadline, seconds):
    while True:
        try:
            with socket.create_connection((host, port), timeout=5) as connection:
                connection.sendall(HERE)
                connection.settimeout(max(0.01, deadline - time.monotonic()))
                if connection.recv(1) == GO:
                    return
                raise ConnectionResetError("it went away")
        except OSError as error:
            if time.monotonic() > deadline:
                raise InputError(
                    f"--coordinator {host}:{port}: does not answer within {seconds} s ({error.strerror or error}); "
                    "start process 0 there"
                ) from error
            time.sleep(0.3)


def _await_service(host, port, deadline):
    """Wait for JAX's own service, which process 0 starts at the same address."""
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            socket.create_connection((host, port), timeout=5).close()
            return
        time.sleep(0.2)
