"""A cable with delay and loss, for kernels without netem: packets go through this process."""

import collections
import contextlib
import fcntl
import os
import random
import selectors
import struct
import threading
import time

# From <linux/if_tun.h>: a device of IP packets, without a header before each.
_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_LARGEST_PACKET = 1 << 16


class Relay:
    """Two TUN devices; what goes into one comes out of the other, in order.

    They are made in this network namespace and may be moved; they are gone when it is closed.
    """

    def __init__(self, names, *, delay_seconds=0.0, loss=0.0):
        """Starts to carry packets.

        Args:
          names: Of both devices.
          delay_seconds: Time that each packet takes.
          loss: Share of packets that are lost.

        Raises:
          OSError: If this process may not make such devices.
        """
        self._delay = delay_seconds
        self._loss = loss
        self._random = random.Random(0)
        self._ends = []
        for name in names:
            self._ends.append(os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK))
            request = struct.pack("16sH", name.encode(), _IFF_TUN | _IFF_NO_PI)
            fcntl.ioctl(self._ends[-1], _TUNSETIFF, request)
        self.lost = 0
        self._is_closed = False
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._thread.start()

    def close(self):
        """Removes the devices."""
        self._is_closed = True
        self._thread.join()
        for end in self._ends:
            os.close(end)

    def _carry(self):
        selector = selectors.DefaultSelector()
        for end, other in zip(self._ends, reversed(self._ends)):
            selector.register(end, selectors.EVENT_READ, other)
        under_way = collections.deque()
        while not self._is_closed:
            wait = under_way[0][0] - time.monotonic() if under_way else 0.1
            for key, _ in selector.select(max(0.0, min(wait, 0.1))):
                packet = self._read(key.fd)
                if packet is not None:
                    under_way.append((time.monotonic() + self._delay, key.data, packet))
            while under_way and under_way[0][0] <= time.monotonic():
                _, end, packet = under_way.popleft()
                self._write(end, packet)

    def _read(self, end):
        """Returns a packet, or None where there is none or it is lost."""
        try:
            packet = os.read(end, _LARGEST_PACKET)
        except OSError:  # The device is down.
            time.sleep(0.01)
            return None
        if self._random.random() < self._loss:
            self.lost += 1
            return None
        return packet

    @staticmethod
    def _write(end, packet):
        # A device that is down or full drops packets, as a cable does.
        with contextlib.suppress(OSError):
            os.write(end, packet)
