"""Monitors the processes of a group: they exchange values, and end together when one fails.

TensorFlow's collectives wait forever for a process that is gone, on every version. So each rank
also holds a plain TCP connection to rank 0 that carries lines of JSON: a heartbeat each second,
values to compare or share, and the message with which all end when one fails. A thread watches it,
and ends the process if the main thread is stuck in TensorFlow.
"""

from __future__ import annotations

import os
import selectors
import socket
import sys
import threading
import time

from absl import logging

from utils.errors import UserError

_HEARTBEAT_SECONDS = 1.0
# Time that the main thread has to end in order, before the process is ended.
_GRACE_SECONDS = 2.0
_FAILURE_STATUS = 1
_END = "the end"


class RankMonitor:
    """The connections of one rank: rank 0 is connected with all, the others with rank 0."""

    def __init__(self, rank: int, channels: dict, names: dict, silence_seconds: float):
        """Starts to monitor.

        Args:
          rank: This process.
          channels: Rank -> `handshake.Channel` of those that this one is connected with.
          names: Rank -> its name in messages, for the same ranks.
          silence_seconds: Time without a heartbeat after which a rank counts as lost.
        """
        self._rank = rank
        self._channels = channels
        self._names = names
        self._silence = silence_seconds
        self._changed = threading.Condition()
        self._number = 0
        self._values = {}
        self._answers = {}
        self._lost = None
        self._failure = None
        # Whether the main thread has raised or reported the failure.
        self._is_reported = False
        # Whether all ranks are done, so that connections may close.
        self._may_end = False
        threading.Thread(target=self._watch, daemon=True).start()

    def exchange(self, name: str, value, combine):
        """Returns on every rank what rank 0 computes from the values of all ranks.

        All ranks must make the same exchanges in the same order.

        Args:
          name: Identifies the exchange.
          value: This rank's value, of plain types.
          combine: Function of the list of values by rank -> plain value; called on rank 0 only. A
            UserError that it raises ends all ranks.

        Raises:
          UserError: If a rank failed, or combine raised it.
        """
        with self._changed:
            self._number += 1
            number, self._may_end = self._number, False
        if self._rank:
            self._send_to_all({"number": number, "name": name, "value": value})
            return self._wait(lambda: number in self._answers, self._answers, number)
        self._wait(lambda: len(self._values.get(number, ())) == len(self._channels))
        received = self._values.pop(number)
        try:
            self._check_names(name, received)
            values = [value, *(received[rank]["value"] for rank in sorted(received))]
            answer = combine(values)
        except UserError as error:
            self.fail(str(error))
            raise
        self._send_to_all({"number": number, "name": name, "answer": answer})
        return answer

    def leave(self):
        """Waits until all ranks are done; from then on any may end."""
        self.exchange(_END, None, self._let_all_end)

    def _let_all_end(self, unused_values):
        with self._changed:
            self._may_end = True

    @property
    def own_address(self) -> str:
        """The address from which this rank connected to rank 0."""
        return self._channels[0].address()

    @property
    def has_left(self) -> bool:
        """Whether all ranks were done, and nothing was exchanged since."""
        return self._may_end

    def fail(self, reason: str):
        """Ends all other ranks.

        Args:
          reason: A sentence that names the rank at fault.
        """
        with self._changed:
            self._is_reported = True
            self._failure = self._failure or reason
        self._send_to_all({"fail": reason})

    def raise_failure(self, wait_seconds: float):
        """Raises UserError if a rank has failed, or fails within some seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._failure, wait_seconds)
            if self._failure:
                self._is_reported = True
                raise UserError(self._failure)

    def _wait(self, is_there, found=None, number=None):
        with self._changed:
            while not is_there():
                if self._failure or self._lost:
                    self._is_reported = True
                    raise UserError(self._failure or self._lost)
                # With a timeout, so that signals are handled.
                self._changed.wait(_HEARTBEAT_SECONDS)
            return None if found is None else found.pop(number)

    def _check_names(self, name, received):
        for rank, message in sorted(received.items()):
            if message["name"] != name:
                raise UserError(
                    f"{self._names[rank]} is at {message['name']}, but rank 0 is at {name}; start "
                    "all ranks with the same command."
                )

    def _send_to_all(self, message):
        for rank, channel in self._channels.items():
            try:
                channel.send(message)
            except OSError as error:
                logging.debug("Cannot send to %s: %s.", self._names[rank], error)

    def _watch(self):
        selector = selectors.DefaultSelector()
        last_seen = dict.fromkeys(self._channels, time.monotonic())
        for rank, channel in self._channels.items():
            selector.register(channel, selectors.EVENT_READ, rank)
        last_heartbeat = 0.0
        while self._channels:
            for key, _ in selector.select(_HEARTBEAT_SECONDS):
                rank = key.data
                last_seen[rank] = time.monotonic()
                if not self._receive(rank):
                    selector.unregister(self._channels[rank])
                    last_seen.pop(rank)
                    self._handle_loss(rank, "ended without a message; see its log")
            now = time.monotonic()
            if now - last_heartbeat >= _HEARTBEAT_SECONDS:
                last_heartbeat = now
                self._send_to_all({})
            for rank in [rank for rank in last_seen if now - last_seen[rank] > self._silence]:
                last_seen.pop(rank)
                self._handle_loss(
                    rank,
                    f"has sent no heartbeat for {self._silence:g} s; it hangs, or the network is "
                    "down",
                )

    def _receive(self, rank: int) -> bool:
        """Handles the messages of a rank; returns whether the connection is alive."""
        try:
            messages = self._channels[rank].receive()
        except OSError:
            return False
        for message in messages:
            if "fail" in message:
                self._end_process(message["fail"])
            with self._changed:
                if "answer" in message:
                    # Set before the main thread continues and other ranks close connections.
                    self._may_end = message["name"] == _END
                    self._answers[message["number"]] = message["answer"]
                elif "value" in message:
                    self._values.setdefault(message["number"], {})[rank] = message
                self._changed.notify_all()
        return True

    def _handle_loss(self, rank: int, how: str):
        reason = f"{self._names[rank]} {how}. All ranks end; the same command resumes."
        with self._changed:
            self._lost = reason
            self._changed.notify_all()
            if self._may_end:
                return
        self._end_process(reason)

    def _end_process(self, reason: str):
        """Ends this process, unless the main thread does so within the grace time."""
        with self._changed:
            if self._may_end:
                return
            self._failure = self._failure or reason
            self._changed.notify_all()
        if not self._rank:
            self._send_to_all({"fail": reason})
        time.sleep(_GRACE_SECONDS)
        if not self._is_reported:
            print(f"Error: {self._failure}", file=sys.stderr)
        sys.stdout.flush()
        sys.stderr.flush()
        # The main thread waits in TensorFlow for a rank that is gone.
        os._exit(_FAILURE_STATUS)


def describe(rank: int, hello: dict) -> str:
    """Returns the name of a rank in messages, from what it sent when it connected."""
    return f"rank {rank} (process {hello['process']} on {hello['host']})"


def identify() -> dict:
    """Returns what a rank sends when it connects to identify its process."""
    return {"process": os.getpid(), "host": socket.gethostname()}
