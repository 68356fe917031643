"""Folders that results go to, and that are gone again if there are none."""

from __future__ import annotations

import contextlib
import os

from utils.errors import UserError


@contextlib.contextmanager
def gone_if_refused(folder: str):
    """Removes a folder that is made within, and those above it, if an error leaves them empty.

    Args:
      folder: May be there already; then nothing is removed.
    """
    new = _missing(folder)
    try:
        yield
    except BaseException:
        for path in new:
            # Not empty, or in use: somebody has put something there.
            with contextlib.suppress(OSError):
                os.rmdir(path)
        raise


def check_writable(folder: str, flag: str):
    """Makes a folder; raises UserError that names the flag if nothing can be written there."""
    probe = os.path.join(folder, f".writable-{os.getpid()}")
    try:
        os.makedirs(folder, exist_ok=True)
        with open(probe, "wb"):
            pass
        os.remove(probe)
    except OSError as error:
        raise UserError(
            f"cannot write to {flag}={folder}: {error.strerror}; pass another folder."
        ) from error


def _missing(folder: str) -> list:
    """Returns the folders that are not there, the lowest first."""
    missing, path = [], os.path.abspath(folder)
    while not os.path.exists(path):
        missing.append(path)
        path = os.path.dirname(path)
    return missing
