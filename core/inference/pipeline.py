"""Segments many photos; the next are read and the previous written at the same time."""

from __future__ import annotations

import collections
import dataclasses
from concurrent import futures

from utils.compat import tf
from utils.log import Progress

# Photos read ahead, and results waiting to be written; they bound the memory.
_READ_AHEAD = 3
_WRITE_BEHIND = 2
_READERS = 2


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Which photos were done and which failed.

    Attributes:
      done: (item, (height, width)) of those whose results were written.
      failed: (item, reason) of those that could not be read or segmented.
    """

    done: tuple
    failed: tuple


def run(items, *, read, segment, write, bad_photo=()) -> Outcome:
    """Reads, segments and writes each photo, in order.

    Args:
      items: One per photo, of any type.
      read: Called with an item, in another thread; returns its image, uint8 [h, w, 3].
      segment: Called with an image; returns its result.
      write: Called with item, image and result, in another thread, one after the other; its
        exceptions stop the run.
      bad_photo: The exceptions that `read` raises for a photo that cannot be used. They do not stop
        the run; nor does a photo that is too large for the memory.
    """
    done, failed = [], []
    progress = Progress(len(items))
    readers = futures.ThreadPoolExecutor(_READERS)
    writer = futures.ThreadPoolExecutor(1)
    try:
        pending = collections.deque()
        for item, image in _read_ahead(items, read, readers):
            try:
                image = image.result()
                pending.append(writer.submit(write, item, image, segment(image)))
                done.append((item, image.shape[:2]))
            except bad_photo as error:
                failed.append((item, str(error)))
            except (MemoryError, tf.errors.ResourceExhaustedError):
                failed.append((item, _too_large(image)))
            while len(pending) > _WRITE_BEHIND:
                pending.popleft().result()
            progress.update(len(done) + len(failed), failed=len(failed) or None)
        for written in pending:
            written.result()
    finally:
        progress.close()
        readers.shutdown()
        writer.shutdown()
    return Outcome(tuple(done), tuple(failed))


def _read_ahead(items, read, readers):
    """Yields (item, future of its image), a few started ahead of time."""
    begun = collections.deque()
    for item in items:
        begun.append((item, readers.submit(read, item)))
        if len(begun) > _READ_AHEAD:
            yield begun.popleft()
    yield from begun


def _too_large(image) -> str:
    size = "" if not hasattr(image, "shape") else f" of {image.shape[0]}x{image.shape[1]} pixels"
    return f"out of memory for an image{size}; pass --window_size=513,513"
