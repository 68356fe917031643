"""A TCP connection that carries JSON, one message a line."""

from __future__ import annotations

import json
import socket
import threading

# What a stranger may send before it is taken for one.
_LARGEST_LINE = 1 << 26


class Channel:
    """One connection; any thread may send, one receives."""

    def __init__(self, connection: socket.socket, seconds: float):
        """Takes over a connected socket.

        Args:
          connection: The socket.
          seconds: Time after which sending gives up.
        """
        connection.settimeout(seconds)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = connection
        self._sending = threading.Lock()
        self._rest = b""

    def fileno(self) -> int:
        """Returns the socket's descriptor, so that selectors take a channel."""
        return self._socket.fileno()

    def address(self) -> str:
        """Returns the address of this side."""
        return self._socket.getsockname()[0]

    def peer(self) -> str:
        """Returns the address of the other side."""
        return self._socket.getpeername()[0]

    def send(self, message: dict):
        """Sends a message.

        Raises:
          OSError: If the connection is broken, or the other side does not read.
        """
        with self._sending:
            self._socket.sendall(json.dumps(message).encode() + b"\n")

    def receive(self) -> list:
        """Returns the messages that have arrived, as dicts; waits where there is nothing at all.

        Raises:
          OSError: If the connection is closed or broken, or carries something else.
        """
        block = self._socket.recv(1 << 16)
        if not block:
            raise ConnectionError("closed")
        *lines, self._rest = (self._rest + block).split(b"\n")
        if len(self._rest) > _LARGEST_LINE:
            raise ConnectionError("no line ends")
        try:
            messages = [json.loads(line) for line in lines]
        except ValueError as error:
            raise ConnectionError("no JSON") from error
        if not all(isinstance(message, dict) for message in messages):
            raise ConnectionError("no messages")
        return messages

    def close(self):
        """Closes the connection."""
        self._socket.close()
