"""The table of run lengths: a row per image, a column per class."""

from __future__ import annotations

import csv
import io
import os

from utils.errors import UserError
from utils.files import write_bytes, write_errors_explained
from utils.imaging import run_lengths

FILE = "rle.csv"
_COLUMNS = ("id", "height", "width")


class RleTable:
    """Appends rows to a CSV file; rows of an earlier run can be kept."""

    def __init__(self, folder: str, class_names):
        """Touches no file.

        Args:
          folder: Where the table is.
          class_names: The classes, one column each.
        """
        self.path = os.path.join(folder, FILE)
        self._header = [*_COLUMNS, *class_names]
        self._file = None
        self._listed = set()

    def __contains__(self, name: str) -> bool:
        """Whether an image has a row from an earlier run."""
        return name in self._listed

    def open(self, *, keep: bool):
        """Writes the header.

        Args:
          keep: Whether the rows of an earlier run stay.

        Raises:
          UserError: If the file cannot be written, or has other classes.
        """
        rows = self._read() if keep and os.path.exists(self.path) else []
        self._listed = {row[0] for row in rows}
        with write_errors_explained(self.path):
            write_bytes(self.path, _csv([self._header, *rows]).encode("utf-8"), sync=False)
            # Open until `close`, since every image appends its row.
            self._file = open(self.path, "a", encoding="utf-8", newline="")  # noqa: SIM115

    def add(self, name: str, masks):
        """Appends the row of an image, unless it has one.

        Args:
          name: Its name.
          masks: bool [h, w], one per class.

        Raises:
          UserError: If the file cannot be written.
        """
        if name in self._listed:
            # Kept from an earlier run that saved fewer kinds of files.
            return
        row = [name.replace(os.sep, "/"), *masks[0].shape, *map(run_lengths.encode, masks)]
        with write_errors_explained(self.path):
            self._file.write(_csv([row]))
            self._file.flush()

    def close(self):
        """Closes the file."""
        if self._file is not None:
            self._file.close()

    def _read(self) -> list:
        """Returns the complete rows.

        Raises:
          UserError: If the table has other columns.
        """
        # Run lengths are long: the reader's own limit of a cell is 128 kB.
        csv.field_size_limit(2**31 - 1)
        try:
            with open(self.path, encoding="utf-8", newline="") as file:
                rows = list(csv.reader(file))
        except (OSError, ValueError, csv.Error) as error:
            raise UserError(f"{self.path} cannot be read ({error}); remove it.") from error
        if rows and rows[0] != self._header:
            raise UserError(
                f"{self.path} is of other classes ({', '.join(rows[0][:8])}, ...); pass another "
                "--output_dir, or remove it."
            )
        # The last row of a run that was killed may be cut off.
        return [row for row in rows[1:] if len(row) == len(self._header)]


def _csv(rows) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()
