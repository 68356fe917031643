"""Ports on which the processes of a group listen.

The launcher uses this, so it imports the standard library only.
"""

from __future__ import annotations

import socket

from utils.errors import UserError

_LARGEST = 65535


def find_free(address: str, number: int = 1) -> list:
    """Returns different ports that are free at the moment; other processes may take them later.

    Args:
      address: The address on which they must be free.
      number: Number of ports.
    """
    probes = [socket.socket() for _ in range(number)]
    try:
        for probe in probes:
            probe.bind((address, 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def check_free(address: str, port: int, rank: int):
    """Raises UserError if another process uses a port.

    TensorFlow's server does not report it: two servers silently share a port.

    Args:
      address: IPv4 address or host name of this machine.
      port: The port.
      rank: The rank that will listen on it.
    """
    if not 0 < port <= _LARGEST:
        raise UserError(
            f"port {port} of rank {rank} is not in 1 to {_LARGEST}; the ports of a host's "
            "processes are consecutive: pass a smaller first port."
        )
    with socket.socket() as probe:
        # As the server itself does: connections of a previous run in TIME_WAIT do no harm.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            raise UserError(
                f"rank {rank} cannot listen on {address}:{port} ({error.strerror}); stop the "
                "process that uses the port, or choose another address."
            ) from error
