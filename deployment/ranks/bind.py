"""Keeps TensorFlow's server to one interface.

`tf.distribute.Server` listens on all interfaces, on every version. So the kernel is told to drop
what comes for another address: a packet filter on the server's own sockets, for which no rights are
needed (Linux).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import socket
import struct

from absl import logging

_EVERYWHERE = "0.0.0.0"
# <asm/socket.h>; Python has no name for it.
_SO_ATTACH_FILTER = 26
# <linux/filter.h>: loads count from the network header on.
_NETWORK_HEADER = -0x100000
_LOAD_BYTE, _LOAD_WORD, _RETURN = 0x30, 0x20, 0x06
_SHIFT_RIGHT, _JUMP_EQUAL = 0x74, 0x15
_KEEP_ALL = 0xFFFFFFFF
# Where an IPv4 header has the destination.
_DESTINATION = 16
_LISTENS = "0A"


def only_on(address: str, port: int):
    """Makes what listens on a port of this process answer on one address only.

    Args:
      address: IPv4 address, or a name of it; 0.0.0.0 leaves all.
      port: The port.
    """
    if address == _EVERYWHERE:
        return
    program = _program(socket.inet_aton(socket.gethostbyname(address)))
    buffer = ctypes.create_string_buffer(program)
    option = struct.pack("HP", len(program) // 8, ctypes.addressof(buffer))
    filtered = 0
    for descriptor in _listeners(port):
        with socket.socket(fileno=os.dup(descriptor)) as server:
            try:
                server.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, option)
                filtered += 1
            except OSError as error:
                logging.debug("No filter on port %d: %s.", port, error)
    if not filtered:
        logging.warning(
            "Port %d listens on all interfaces: this system filters no sockets. Keep it from "
            "networks that are not private.",
            port,
        )


def _program(address: bytes) -> bytes:
    """Returns the filter that keeps IPv4 packets for an address and drops all others."""
    (number,) = struct.unpack("!I", address)
    steps = [
        (_LOAD_BYTE, 0, 0, _NETWORK_HEADER & _KEEP_ALL),
        (_SHIFT_RIGHT, 0, 0, 4),
        (_JUMP_EQUAL, 0, 3, 4),  # IP version 4
        (_LOAD_WORD, 0, 0, (_NETWORK_HEADER + _DESTINATION) & _KEEP_ALL),
        (_JUMP_EQUAL, 0, 1, number),
        (_RETURN, 0, 0, _KEEP_ALL),
        (_RETURN, 0, 0, 0),
    ]
    return b"".join(struct.pack("HBBI", *step) for step in steps)


def _listeners(port: int) -> list:
    """Returns the descriptors of this process that listen on a port."""
    inodes = set()
    for table in ("/proc/self/net/tcp", "/proc/self/net/tcp6"):
        with contextlib.suppress(OSError), open(table, encoding="ascii") as file:
            for line in file.readlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTENS and int(fields[1].rsplit(":", 1)[1], 16) == port:
                    inodes.add(fields[9])
    found = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            match = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(f"/proc/self/fd/{name}"))
            if match and match.group(1) in inodes:
                found.append(int(name))
    return found
