"""Standard output and error of a command, whose reader may go away before the command ends.

`python seg.py train --help | head -1` closes the pipe early, and a terminal can be closed during a
training. Neither is an error of the command: what it writes from then on is dropped.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys

# Writing to a pipe without a reader, and to a terminal that was closed.
_GONE = (errno.EPIPE, errno.EIO)


class _Descriptor(io.FileIO):
    """A file descriptor that is redirected to the null device once its reader is gone."""

    def write(self, data) -> int:
        """Returns the number of bytes written or dropped."""
        try:
            return super().write(data)
        except OSError as error:
            if error.errno not in _GONE:
                raise
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self.fileno())
        os.close(null)
        return len(data)


@contextlib.contextmanager
def may_go_away():
    """Inside, standard output and error drop what is written after their reader has gone."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = map(_tolerant, before)
    try:
        yield
    finally:
        for stream in filter(None, (sys.stdout, sys.stderr)):
            stream.flush()
        sys.stdout, sys.stderr = before


def _tolerant(stream):
    """Returns a stream that writes to the same descriptor; the stream itself if it has none."""
    try:
        raw = _Descriptor(stream.fileno(), "w", closefd=False)
    except (AttributeError, io.UnsupportedOperation):
        # Closed from the start (None), or a replacement in memory.
        return stream
    # Unbuffered (PYTHONUNBUFFERED) streams have no buffer between text and descriptor.
    binary = raw if stream.write_through else io.BufferedWriter(raw)
    return io.TextIOWrapper(
        binary,
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
