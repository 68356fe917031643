"""Ports on which the processes of a group listen.

Standard library only: the launcher uses it, which loads no TensorFlow.
"""

from __future__ import annotations

import socket

from utils.errors import UserError

_LARGEST = 65535


def find_free(address: str, number: int = 1) -> list:
    """Returns ports that nobody uses at the moment.

    They are found together, so that they differ; nothing keeps others from taking one afterwards.

    Args:
      address: Where they shall be free.
      number: How many.
    """
    probes = [socket.socket() for _ in range(number)]
    try:
        for probe in probes:
            probe.bind((address, 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def check_free(address: str, port: int, who: str):
    """Raises UserError if a server could not have a port for itself.

    TensorFlow's server must not find that out: two of them may share a port without a word.

    Args:
      address: IPv4 address of this machine, or a name of it.
      port: The port.
      who: Name of the rank, for the message.
    """
    if not 0 < port <= _LARGEST:
        raise UserError(
            f"port {port} of {who} is none (1 to {_LARGEST}); ports of a host's processes are "
            "counted up from the first: choose a smaller one."
        )
    with socket.socket() as probe:
        # As the server itself does: connections of an ended run that fade out do no harm.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            raise UserError(
                f"{who} cannot listen on {address}:{port} ({error.strerror}); end what uses the "
                "port, or choose another address."
            ) from error
