"""Output of a running command: a progress line, messages, and a log file."""

from __future__ import annotations

import os
import shutil
import sys
import time

from absl import logging

from utils.errors import UserError

# Minimum time between two redraws on a terminal, and between two lines elsewhere.
_REDRAW_SECONDS = 0.1
_LINE_SECONDS = 30.0
_ERASE_LINE = "\r\x1b[K"


class Progress:
    """Shows progress: one line redrawn in place, or plain lines if not on a terminal.

    The rate is measured from the first update on, without the time to build graphs and fill
    buffers. On a terminal it is a filter of absl's logger, so that messages erase the line first.
    """

    def __init__(self, total: int | None, unit: str = "images", *, initial: int = 0, stream=None):
        """Makes a progress line; nothing is shown before the first update.

        Args:
          total: Number of units; None if unknown.
          unit: What is counted.
          initial: Number of units that are already done.
          stream: Where to write, standard error by default.
        """
        self._total = total
        self._unit = unit
        self._stream = sys.stderr if stream is None else stream
        self._on_terminal = self._stream.isatty()
        self._begin = (initial, time.monotonic())
        self._measured_from = None
        self._drawn_at = None
        self._text = ""
        if self._on_terminal:
            logging.get_absl_logger().addFilter(self)

    def update(self, done: int, **values):
        """Shows the state, unless it was shown a moment ago.

        Args:
          done: Number of units done, including `initial`.
          **values: More numbers to show by name; None is omitted.
        """
        now = time.monotonic()
        if self._measured_from is None:
            self._measured_from = (done, now)
        self._text = self._describe(done, now, values)
        interval = _REDRAW_SECONDS if self._on_terminal else _LINE_SECONDS
        if self._drawn_at is None and not self._on_terminal:
            # The first line also waits for an interval, so that short work shows none.
            self._drawn_at = self._begin[1]
        if self._drawn_at is None or now - self._drawn_at >= interval:
            self._draw(now)

    def close(self):
        """Shows the last state and ends the line; calling it again does nothing."""
        if self._text:
            self._draw(time.monotonic())
        if self._on_terminal and self in logging.get_absl_logger().filters:
            logging.get_absl_logger().removeFilter(self)
            if self._text:
                self._stream.write("\n")
                self._stream.flush()
        self._text = ""

    def filter(self, unused_record) -> bool:
        """Erases the line before a message is logged; lets every message pass."""
        self.erase()
        return True

    def erase(self):
        """Removes the line from the terminal until the next update."""
        self._stream.write(_ERASE_LINE)
        self._stream.flush()
        self._drawn_at = None

    def _draw(self, now: float):
        if self._on_terminal:
            columns = shutil.get_terminal_size().columns
            self._stream.write(_ERASE_LINE + self._text[: columns - 1])
        else:
            self._stream.write(self._text + "\n")
        self._stream.flush()
        self._drawn_at = now

    def _describe(self, done: int, now: float, values: dict) -> str:
        parts = [f"{done} {self._unit}"]
        if self._total:
            percent = 100 * done // self._total
            parts = [f"{done}/{self._total} {self._unit}", f"{percent:3d} %"]
        rate = self._rate(done, now)
        if rate:
            parts.append(f"{rate:.2f} {self._unit}/s")
            if self._total and done < self._total:
                parts.append(f"{duration((self._total - done) / rate)} left")
        if self._total and done >= self._total:
            parts.append(f"{duration(now - self._begin[1])} in all")
        for name, value in values.items():
            if value is not None:
                parts.append(f"{name.replace('_per_second', '/s')} {value:.4g}")
        return "  ".join(parts)

    def _rate(self, done: int, now: float) -> float:
        """Returns units per second, 0 while unknown."""
        since, at = self._measured_from
        if done <= since or now <= at:
            # There was a single update: use the time since the beginning.
            since, at = self._begin
            if self._total is None or done < self._total:
                return 0.0
        return max(0.0, (done - since) / max(now - at, 1e-9))


def duration(seconds: float) -> str:
    """Returns a time as "0:07", "12:05" or "3:05:09"."""
    minutes, rest = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class RunLog:
    """The log file of a run; lines are appended and shown on standard output."""

    def __init__(self, path: str):
        """Opens or creates the file.

        Raises:
          UserError: If it cannot be written.
        """
        self._path = path
        try:
            os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
            with open(path, "a", encoding="utf-8"):
                pass
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror}.") from error

    def line(self, text: str, *, show: bool = True):
        """Appends a line.

        Args:
          text: The line, without a newline.
          show: Whether to also write it to standard output.

        Raises:
          UserError: If it cannot be written.
        """
        try:
            with open(self._path, "a", encoding="utf-8") as file:
                file.write(text + "\n")
        except OSError as error:
            raise UserError(
                f"cannot write {self._path}: {error.strerror}; free some space."
            ) from error
        if show:
            message(text)


def message(text: str):
    """Writes a line to standard output, after erasing progress lines."""
    for one in logging.get_absl_logger().filters:
        if isinstance(one, Progress):
            one.erase()
    print(text, flush=True)
