"""One training at a time in a folder.

The lock is the kernel's (`flock`), so it ends with the process, however that ends; the file names
its owner. A killed process leaves the text but not the lock.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import fcntl
import json
import os
import socket

from absl import logging

from utils.errors import UserError
from utils.files import removed_on_error

LOCK_FILE = ".lock"


@contextlib.contextmanager
def hold(folder: str):
    """Holds the lock of a run's folder, which is created if needed.

    A run that fails before it writes anything leaves neither the file nor the folder.

    Raises:
      UserError: If another process holds it, or the folder cannot be written to.
    """
    path = os.path.join(folder, LOCK_FILE)
    with removed_on_error(folder), _acquired(folder, path) as file:
        try:
            _sign(file, folder)
            yield
        except BaseException:
            if os.listdir(folder) == [LOCK_FILE]:
                os.remove(path)
            raise
        finally:
            with contextlib.suppress(OSError):
                file.truncate(0)


def _acquired(folder: str, path: str):
    """Returns the opened file, locked by this process."""
    while True:
        file = _open(folder, path)
        try:
            _lock(file, path)
            if _is_there(file, path):
                return file
        except BaseException:
            file.close()
            raise
        # Its owner has removed the file meanwhile, so other processes would not see this lock.
        file.close()


def _open(folder: str, path: str):
    try:
        os.makedirs(folder, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise UserError(f"cannot write to --train_logdir={folder}: {error.strerror}.") from error
    # Without a buffer, so that a failing write fails here and not when the file is closed.
    return open(descriptor, "r+b", buffering=0)


def _is_there(file, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def _lock(file, path: str):
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EAGAIN, errno.EACCES):
            logging.warning(
                "%s cannot be locked on this file system (%s); make sure that no other training "
                "writes to this folder.",
                path,
                error.strerror,
            )
            return
        raise UserError(
            f"{os.path.dirname(path)} is in use: {_describe(_owner(file))} trains there; wait for "
            "it, stop it, or pass another --train_logdir."
        ) from error
    left = _owner(file)
    if left and left.get("host") != socket.gethostname():
        logging.warning(
            "%s was left by %s, but this file system reports it as unlocked; if that process is "
            "still running, stop one of the two.",
            path,
            _describe(left),
        )
    elif left:
        logging.info("The run was not shut down properly by %s.", _describe(left))


def _sign(file, folder: str):
    now = datetime.datetime.now(datetime.timezone.utc)
    owner = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": now.strftime("%Y-%m-%d %H:%M:%S UTC"),
    }
    try:
        file.truncate(0)
        file.seek(0)
        file.write(json.dumps(owner).encode() + b"\n")
    except OSError as error:
        raise UserError(f"cannot write to --train_logdir={folder}: {error.strerror}.") from error


def _owner(file) -> dict:
    """Returns the owner in the file; empty if there is none."""
    file.seek(0)
    try:
        owner = json.loads(file.read() or b"{}")
    except ValueError:
        return {}
    return owner if isinstance(owner, dict) else {}


def _describe(owner: dict) -> str:
    return (
        f"process {owner.get('pid', 'unknown')} on host {owner.get('host', 'unknown')} (since "
        f"{owner.get('since', 'unknown')})"
    )
