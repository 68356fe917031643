"""Keeps the processes of a group in touch: they meet, agree, and end together.

TensorFlow's collectives wait for ever for a process that is gone, on every version. So beside them
each rank holds one plain TCP connection to rank 0, over which go lines of JSON: a sign of life each
second, what must be compared or decided, and the sentence with which all end when one fails. A
thread watches it; where the main thread is stuck in TensorFlow, it ends the process.
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

_BEAT_SECONDS = 1.0
# Time that the main thread has to end in order, before the process is ended.
_GRACE_SECONDS = 2.0
_FAILURE_STATUS = 1


class RankMonitor:
    """What one rank knows of the others. Rank 0 is connected with all, the others with rank 0."""

    def __init__(self, rank: int, channels: dict, names: dict, silence_seconds: float):
        """Starts to watch.

        Args:
          rank: This process.
          channels: Rank -> `Channel` of those that this one is connected with.
          names: Rank -> how messages call it, of the same ranks.
          silence_seconds: Time without a sign of life after which a rank counts as lost.
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
        self._is_told = False
        self._may_end = False
        threading.Thread(target=self._watch, daemon=True).start()

    def exchange(self, name: str, value, combine):
        """Returns on every rank what rank 0 makes of the values of all.

        All ranks must call it the same times with the same names.

        Args:
          name: What is exchanged.
          value: This rank's, of plain values.
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
        self.exchange("the end", None, self._let_all_end)

    def _let_all_end(self, unused_values):
        with self._changed:
            self._may_end = True

    @property
    def own_address(self) -> str:
        """The address by which this rank reached rank 0."""
        return self._channels[0].address()

    @property
    def has_left(self) -> bool:
        """Whether all ranks were done, and nothing was exchanged since."""
        return self._may_end

    def fail(self, sentence: str):
        """Tells the others that all must end.

        Args:
          sentence: Why; it names the rank at fault.
        """
        with self._changed:
            self._is_told = True
            self._failure = self._failure or sentence
        self._send_to_all({"fail": sentence})

    def raise_failure(self, wait_seconds: float):
        """Raises UserError if a rank failed, or does so while this waits."""
        with self._changed:
            self._changed.wait_for(lambda: self._failure, wait_seconds)
            if self._failure:
                self._is_told = True
                raise UserError(self._failure)

    def _wait(self, is_there, found=None, number=None):
        with self._changed:
            while not is_there():
                if self._failure or self._lost:
                    self._is_told = True
                    raise UserError(self._failure or self._lost)
                # Not for ever, so that signals come through.
                self._changed.wait(_BEAT_SECONDS)
            return None if found is None else found.pop(number)

    def _check_names(self, name, received):
        for rank, message in sorted(received.items()):
            if message["name"] != name:
                raise UserError(
                    f"{self._names[rank]} is at {message['name']} where rank 0 is at {name}; start "
                    "all ranks with the same command."
                )

    def _send_to_all(self, message):
        for rank, channel in self._channels.items():
            try:
                channel.send(message)
            except OSError as error:
                logging.debug("%s cannot be told: %s.", self._names[rank], error)

    def _watch(self):
        selector = selectors.DefaultSelector()
        seen = dict.fromkeys(self._channels, time.monotonic())
        for rank, channel in self._channels.items():
            selector.register(channel, selectors.EVENT_READ, rank)
        beaten = 0.0
        while self._channels:
            for key, _ in selector.select(_BEAT_SECONDS):
                rank = key.data
                seen[rank] = time.monotonic()
                if not self._receive(rank):
                    selector.unregister(self._channels[rank])
                    seen.pop(rank)
                    self._lose(rank, "ended without a word; its own log says why")
            now = time.monotonic()
            if now - beaten >= _BEAT_SECONDS:
                beaten = now
                self._send_to_all({})
            for rank in [rank for rank in seen if now - seen[rank] > self._silence]:
                seen.pop(rank)
                self._lose(
                    rank,
                    f"has given no sign of life for {self._silence:g} s; it hangs, or the network "
                    "between is cut",
                )

    def _receive(self, rank: int) -> bool:
        """Takes in what a rank has sent; returns whether the connection stands."""
        try:
            messages = self._channels[rank].receive()
        except OSError:
            return False
        for message in messages:
            if "fail" in message:
                self._give_up(message["fail"])
            with self._changed:
                if "answer" in message:
                    # Known before the main thread goes on, and before others close connections.
                    self._may_end = message["name"] == "the end"
                    self._answers[message["number"]] = message["answer"]
                elif "value" in message:
                    self._values.setdefault(message["number"], {})[rank] = message
                self._changed.notify_all()
        return True

    def _lose(self, rank: int, how: str):
        sentence = f"{self._names[rank]} {how}; all ranks end, the same command continues."
        with self._changed:
            self._lost = sentence
            self._changed.notify_all()
            if self._may_end:
                return
        self._give_up(sentence)

    def _give_up(self, sentence: str):
        """Ends this process; the main thread may be quicker and do so in order."""
        with self._changed:
            if self._may_end:
                return
            self._failure = self._failure or sentence
            self._changed.notify_all()
        if not self._rank:
            self._send_to_all({"fail": sentence})
        time.sleep(_GRACE_SECONDS)
        if not self._is_told:
            print(f"Error: {self._failure}", file=sys.stderr)
        sys.stdout.flush()
        sys.stderr.flush()
        # The main thread waits in TensorFlow for a rank that will never come.
        os._exit(_FAILURE_STATUS)


def name_of(rank: int, hello: dict) -> str:
    """Returns how messages call a rank, from what it said when it came."""
    return f"rank {rank} (process {hello['process']} on {hello['host']})"


def who_am_i() -> dict:
    """Returns what a rank says of itself when it comes, besides its number."""
    return {"process": os.getpid(), "host": socket.gethostname()}
