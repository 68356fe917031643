"""Standard output and error of a command, whose reader may go away before the command ends.

`python seg.py train --help | head -1` closes the pipe early, a terminal can be closed during a
training. Neither is an error of the command: what it writes from then on is dropped. A full disk
(that of `nohup.out`) does not stop the work either, but then the command does not end as a success.
A character that the console cannot show is escaped.
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
    """A file descriptor that is redirected to the null device once it cannot be written.

    Attributes:
      is_full: Whether a full disk was the reason.
    """

    is_full = False

    def write(self, data) -> int:
        """Returns the number of bytes written or dropped."""
        try:
            return super().write(data)
        except OSError as error:
            if error.errno not in (*_GONE, errno.ENOSPC):
                raise
            self.is_full = error.errno == errno.ENOSPC
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self.fileno())
        os.close(null)
        return len(data)


@contextlib.contextmanager
def may_go_away():
    """Inside, standard output and error drop what is written once they cannot be written.

    Raises:
      SystemExit: With 1 at the end, in place of success, if the disk of one was full.
    """
    before = sys.stdout, sys.stderr
    descriptors = [_descriptor(stream) for stream in before]
    sys.stdout, sys.stderr = map(_tolerant, before, descriptors)
    ended = SystemExit()
    try:
        yield
    except SystemExit as error:
        ended = error
        raise
    finally:
        for stream in filter(None, (sys.stdout, sys.stderr)):
            stream.flush()
        sys.stdout, sys.stderr = before
        if not ended.code and any(raw is not None and raw.is_full for raw in descriptors):
            ended.code = 1
    if ended.code:
        raise ended


def _descriptor(stream) -> _Descriptor | None:
    """Returns the descriptor that a stream writes to; None if it has none."""
    try:
        return _Descriptor(stream.fileno(), "w", closefd=False)
    except (AttributeError, io.UnsupportedOperation):
        # Closed from the start (None), or a replacement in memory.
        return None


def _tolerant(stream, raw: _Descriptor | None):
    """Returns a stream that writes to a descriptor; the stream itself if it has none."""
    if raw is None:
        return stream
    # Unbuffered (PYTHONUNBUFFERED) streams have no buffer between text and descriptor.
    binary = raw if stream.write_through else io.BufferedWriter(raw)
    return io.TextIOWrapper(
        binary,
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
