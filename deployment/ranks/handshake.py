"""Connects the processes of a group: all ranks connect to rank 0, which checks them."""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
import threading
import time

from absl import logging

from deployment.ranks.membership import Membership
from deployment.ranks.monitor import RankMonitor, describe, identify
from utils.errors import UserError

_RETRY_SECONDS = 0.2
# Added to the time that rank 0 itself waits, so that its message comes first.
_EXTRA_SECONDS = 5.0
# A peer that sends a longer line is not one of ours.
_LONGEST_LINE = 1 << 26


class Channel:
    """A TCP connection that carries one JSON object per line; any thread sends, one receives."""

    def __init__(self, connection: socket.socket, seconds: float):
        """Takes over a connected socket.

        Args:
          connection: The socket.
          seconds: Timeout of sending.
        """
        connection.settimeout(seconds)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = connection
        self._sending = threading.Lock()
        self._rest = b""

    def fileno(self) -> int:
        """Returns the socket's descriptor, for selectors."""
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
          OSError: If the connection is broken, or the peer does not read.
        """
        with self._sending:
            self._socket.sendall(json.dumps(message).encode() + b"\n")

    def receive(self) -> list:
        """Returns the messages that have arrived, as dicts; blocks until some bytes have.

        Raises:
          OSError: If the connection is closed or broken, or carries something else.
        """
        block = self._socket.recv(1 << 16)
        if not block:
            raise ConnectionError("closed")
        *lines, self._rest = (self._rest + block).split(b"\n")
        if len(self._rest) > _LONGEST_LINE:
            raise ConnectionError("a line is too long")
        try:
            messages = [json.loads(line) for line in lines]
        except ValueError as error:
            raise ConnectionError("not JSON") from error
        if not all(isinstance(message, dict) for message in messages):
            raise ConnectionError("not JSON objects")
        return messages

    def set_timeout(self, seconds: float):
        """Changes the timeout of sending and receiving."""
        self._socket.settimeout(seconds)

    def close(self):
        """Closes the connection."""
        self._socket.close()


def connect(
    membership: Membership,
    versions: dict,
    *,
    join_seconds: float,
    silence_seconds: float,
) -> RankMonitor:
    """Waits until all ranks are connected; returns what monitors them.

    Args:
      membership: The place of this process.
      versions: Name -> version of what must be the same on all ranks.
      join_seconds: Time within which all ranks must connect.
      silence_seconds: Time without a heartbeat after which a rank counts as lost.

    Raises:
      UserError: If a rank does not connect in time, connects twice, belongs to another group or has
        other versions; raised on all ranks that have connected.
    """
    hello = {
        "rank": membership.rank,
        "ranks": membership.ranks,
        "versions": versions,
        **identify(),
    }
    if membership.rank:
        channel, leader = _connect_to_leader(membership, hello, join_seconds)
        channel.set_timeout(silence_seconds)
        return RankMonitor(membership.rank, {0: channel}, {0: leader}, silence_seconds)
    joining = _JoiningRanks(hello, silence_seconds)
    with contextlib.closing(_listen(membership)) as listener:
        joining.accept_all(listener, join_seconds)
    for channel in joining.channels.values():
        channel.send({"welcome": describe(0, hello)})
    return RankMonitor(0, joining.channels, joining.names, silence_seconds)


def _listen(membership: Membership) -> socket.socket:
    host, port = membership.addresses[0].rsplit(":", 1)
    listener = socket.socket()
    # Connections of a previous run in TIME_WAIT do no harm.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((membership.interface or host, int(port)))
    except OSError as error:
        listener.close()
        raise UserError(
            f"rank 0 cannot listen on {membership.interface or host}:{port} ({error.strerror}); "
            "stop the process that uses the port, or choose another one."
        ) from error
    listener.listen(membership.ranks)
    return listener


class _JoiningRanks:
    """The ranks that have connected to rank 0."""

    def __init__(self, hello: dict, silence_seconds: float):
        self._hello = hello
        self._silence = silence_seconds
        self.channels = {}
        self.names = {}

    def accept_all(self, listener, seconds: float):
        """Accepts connections until all ranks are there."""
        deadline = time.monotonic() + seconds
        selector = selectors.DefaultSelector()
        selector.register(listener, selectors.EVENT_READ)
        while len(self.channels) < self._hello["ranks"] - 1:
            events = selector.select(max(0.0, deadline - time.monotonic()))
            if not events:
                self._refuse(self._missing(seconds))
            for key, _ in events:
                if key.fileobj is listener:
                    channel = Channel(listener.accept()[0], self._silence)
                    selector.register(channel, selectors.EVENT_READ)
                else:
                    self._receive_hello(key.fileobj, selector)

    def _receive_hello(self, channel, selector):
        try:
            messages = channel.receive()
        except OSError:
            selector.unregister(channel)
            self._check_not_a_rank(channel)
            channel.close()
            return
        for hello in messages:
            if not {"rank", "ranks", "versions", "process", "host"} <= set(hello):
                logging.warning("Ignoring an unexpected message from %s.", channel.peer())
                continue
            self._check(hello, channel)
            self.channels[hello["rank"]] = channel
            self.names[hello["rank"]] = describe(hello["rank"], hello)

    def _check(self, hello, channel):
        name, rank, ranks = describe(hello["rank"], hello), hello["rank"], self._hello["ranks"]
        problem = None
        if hello["ranks"] != ranks:
            problem = (
                f"{name} was started as one of {hello['ranks']} ranks, rank 0 as one of {ranks}; "
                "start all with the same number."
            )
        elif rank in self.channels or not 0 < rank < ranks:
            other = self.names.get(rank, describe(0, self._hello))
            problem = f"{name} and {other} have the same rank; start each rank once."
        else:
            for package, version in self._hello["versions"].items():
                if hello["versions"].get(package) != version:
                    problem = (
                        f"{name} has {package} {hello['versions'].get(package)}, rank 0 has "
                        f"{version}; install the same version everywhere."
                    )
        if problem:
            self._refuse(problem, channel)

    def _check_not_a_rank(self, channel):
        """Raises UserError if a closed connection is that of a rank."""
        for rank, known in self.channels.items():
            if known is channel:
                del self.channels[rank]
                self._refuse(f"{self.names[rank]} ended before all ranks had connected.")

    def _missing(self, seconds: float) -> str:
        missing = [str(rank) for rank in range(1, self._hello["ranks"]) if rank not in self.names]
        return (
            f"rank{'s' * (len(missing) > 1)} {', '.join(missing)} did not connect within "
            f"{seconds:g} s; start all {self._hello['ranks']} ranks, or pass a longer "
            "--join_timeout_secs."
        )

    def _refuse(self, problem: str, *also):
        for channel in [*self.channels.values(), *also]:
            with contextlib.suppress(OSError):
                channel.send({"fail": problem})
        raise UserError(problem)


def _connect_to_leader(membership, hello, join_seconds) -> tuple:
    """Returns the channel to rank 0, and how messages name it."""
    host, port = membership.addresses[0].rsplit(":", 1)
    leader = f"rank 0 at {host}:{port}"
    deadline = time.monotonic() + join_seconds
    while True:
        try:
            connection = socket.create_connection((host, int(port)), timeout=join_seconds)
            break
        except OSError as error:
            if time.monotonic() > deadline:
                raise UserError(
                    f"rank {membership.rank} cannot reach {leader} within {join_seconds:g} s "
                    f"({error.strerror or error}); start all ranks, or pass a longer "
                    "--join_timeout_secs."
                ) from error
        time.sleep(_RETRY_SECONDS)
    channel = Channel(connection, max(0.0, deadline - time.monotonic()) + _EXTRA_SECONDS)
    try:
        channel.send(hello)
        messages = []
        while not messages:
            messages = channel.receive()
    except OSError as error:
        raise UserError(
            f"{leader} ended before all ranks had connected, or is another program; see the log of "
            "rank 0."
        ) from error
    for message in messages:
        if "fail" in message:
            raise UserError(message["fail"])
    return channel, messages[0].get("welcome", leader)
