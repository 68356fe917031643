"""Restricts TensorFlow's server to one network interface.

`tf.distribute.Server` listens on all interfaces, in every version. So a packet filter on its
sockets makes the kernel drop packets for other addresses, which needs no privileges (Linux).
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
# <linux/filter.h>: makes loads relative to the network header.
_NETWORK_HEADER = -0x100000
_LOAD_BYTE, _LOAD_WORD, _RETURN = 0x30, 0x20, 0x06
_SHIFT_RIGHT, _JUMP_EQUAL = 0x74, 0x15
_KEEP_ALL = 0xFFFFFFFF
# Offset of the destination in an IPv4 header.
_DESTINATION = 16
_LISTENS = "0A"


def bind_to_interface(address: str, port: int):
    """Makes this process's listening sockets on a port accept packets for one address only.

    Args:
      address: IPv4 address or host name; 0.0.0.0 accepts all.
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
            "Port %d listens on all interfaces, since this system cannot filter sockets. Do not "
            "expose it to public networks.",
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
    """Returns the descriptors of this process's sockets that listen on a port."""
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
