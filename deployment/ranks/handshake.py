"""Brings the processes of a group together: all meet at rank 0, which knows them afterwards."""

from __future__ import annotations

import contextlib
import selectors
import socket
import time

from absl import logging

from deployment.ranks.channel import Channel
from deployment.ranks.membership import Membership
from deployment.ranks.monitor import RankMonitor, name_of, who_am_i
from utils.errors import UserError

_RETRY_SECONDS = 0.2
# Beside the time of rank 0 itself, so that its sentence comes first.
_EXTRA_SECONDS = 5.0


def meet(
    membership: Membership,
    versions: dict,
    *,
    join_seconds: float,
    silence_seconds: float,
) -> RankMonitor:
    """Waits until all ranks are there, and returns what watches them.

    Args:
      membership: The place of this process.
      versions: Name -> version of what must be the same in all ranks.
      join_seconds: Time that all ranks have to come.
      silence_seconds: Time without a sign of life after which a rank counts as lost.

    Raises:
      UserError: If a rank does not come in time, comes twice, belongs to another group or has other
        versions; it is raised in all ranks that have come.
    """
    hello = {
        "rank": membership.rank,
        "ranks": membership.ranks,
        "versions": versions,
        **who_am_i(),
    }
    if membership.rank:
        channel, host = _go(membership, hello, join_seconds, silence_seconds)
        return RankMonitor(membership.rank, {0: channel}, {0: host}, silence_seconds)
    with contextlib.closing(_listen(membership)) as listener:
        guests = _Guests(hello, silence_seconds)
        guests.receive_all(listener, time.monotonic() + join_seconds, join_seconds)
    for channel in guests.channels.values():
        channel.send({"welcome": name_of(0, hello)})
    return RankMonitor(0, guests.channels, guests.names, silence_seconds)


def _listen(membership: Membership) -> socket.socket:
    host, port = membership.addresses[0].rsplit(":", 1)
    listener = socket.socket()
    # Connections of an ended run that fade out do no harm.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((membership.interface or host, int(port)))
    except OSError as error:
        listener.close()
        raise UserError(
            f"rank 0 cannot listen on {membership.interface or host}:{port} ({error.strerror}); "
            "end what uses the port, or choose another one."
        ) from error
    listener.listen(membership.ranks)
    return listener


class _Guests:
    """The ranks that have come to rank 0."""

    def __init__(self, hello: dict, silence_seconds: float):
        self._hello = hello
        self._silence = silence_seconds
        self.channels = {}
        self.names = {}

    def receive_all(self, listener, deadline: float, seconds: float):
        """Takes in connections until all ranks are there."""
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
                    self._hear(key.fileobj, selector)

    def _hear(self, channel, selector):
        try:
            messages = channel.receive()
        except OSError:
            selector.unregister(channel)
            self._check_stayed(channel)
            channel.close()
            return
        for hello in messages:
            if not {"rank", "ranks", "versions", "process", "host"} <= set(hello):
                logging.warning("Somebody at %s said something else.", channel.peer())
                continue
            self._check(hello, channel)
            self.channels[hello["rank"]] = channel
            self.names[hello["rank"]] = name_of(hello["rank"], hello)

    def _check(self, hello, channel):
        name, rank, ranks = name_of(hello["rank"], hello), hello["rank"], self._hello["ranks"]
        problem = None
        if hello["ranks"] != ranks:
            problem = (
                f"{name} was started as one of {hello['ranks']} ranks, rank 0 as one of {ranks}; "
                "start all with the same number."
            )
        elif rank in self.channels or not 0 < rank < ranks:
            there = self.names.get(rank, name_of(0, self._hello))
            problem = f"{name} and {there} have one number; start each rank once."
        else:
            for what, version in self._hello["versions"].items():
                if hello["versions"].get(what) != version:
                    problem = (
                        f"{name} has {what} {hello['versions'].get(what)}, rank 0 has {version}; "
                        "install the same everywhere."
                    )
        if problem:
            self._refuse(problem, channel)

    def _check_stayed(self, channel):
        for rank, known in self.channels.items():
            if known is channel:
                del self.channels[rank]
                self._refuse(f"{self.names[rank]} ended before all ranks had come.")

    def _missing(self, seconds: float) -> str:
        missing = [str(rank) for rank in range(1, self._hello["ranks"]) if rank not in self.names]
        return (
            f"rank{'s' * (len(missing) > 1)} {', '.join(missing)} did not come within "
            f"{seconds:g} s; start all {self._hello['ranks']} ranks, or pass a longer "
            "--join_timeout_secs."
        )

    def _refuse(self, problem: str, *also):
        for channel in [*self.channels.values(), *also]:
            with contextlib.suppress(OSError):
                channel.send({"fail": problem})
        raise UserError(problem)


def _go(membership, hello, join_seconds, silence_seconds) -> tuple:
    """Returns the connection to rank 0, and its name."""
    host, port = membership.addresses[0].rsplit(":", 1)
    address = f"rank 0 at {host}:{port}"
    deadline = time.monotonic() + join_seconds
    while True:
        try:
            connection = socket.create_connection((host, int(port)), timeout=join_seconds)
            break
        except OSError as error:
            if time.monotonic() > deadline:
                raise UserError(
                    f"rank {membership.rank} cannot reach {address} within {join_seconds:g} s "
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
            f"{address} ended, or is something else, before all ranks had come; its own log says "
            "why."
        ) from error
    for message in messages:
        if "fail" in message:
            raise UserError(message["fail"])
    connection.settimeout(silence_seconds)
    return channel, messages[0].get("welcome", address)
