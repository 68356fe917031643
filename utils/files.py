"""Folders as people have them, output files that are complete or absent, and output folders."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil

from utils.errors import UserError


def read_bytes(path: str) -> bytes:
    """Returns the content of a file.

    Raises:
      OSError: If it cannot be read. A pipe or a device, which may never end, is not read.
    """
    if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
        raise OSError(errno.EINVAL, "not a regular file", path)
    with open(path, "rb") as file:
        return file.read()


def read_json(path: str):
    """Returns the content of a JSON file, with or without the byte order mark of an editor.

    Raises:
      OSError: If it cannot be read.
      ValueError: If it is not JSON, or nested too deeply.
    """
    return parse_json(read_bytes(path))


def parse_json(content: bytes):
    """Returns what JSON stands for; raises ValueError as `read_json` does."""
    try:
        return json.loads(content.decode("utf-8-sig"))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def is_hidden(name: str) -> bool:
    """Whether a file or folder is not the user's data, by its name.

    Names that begin with a dot are those of notebooks (`.ipynb_checkpoints`), of macOS (`._a.jpg`,
    `__MACOSX`) and of version control.
    """
    return name.startswith(".") or name == "__MACOSX"


def walk(folder: str, leave_out: str | None = None) -> list:
    """Returns the paths of all files below a folder, relative to it, sorted.

    Links are followed, each real folder once; hidden files and folders are left out.

    Args:
      folder: The folder.
      leave_out: A folder in it to leave out, by any of its paths.

    Raises:
      UserError: If a folder cannot be read.
    """
    seen = {os.path.realpath(leave_out)} if leave_out else set()
    # A folder goes by its own path rather than by that of a link to it, so links come last.
    found, folders, links = [], [folder], []
    while folders or links:
        path = (folders or links).pop(0)
        real = os.path.realpath(path)
        if real in seen:
            continue
        seen.add(real)
        for name in _names(path):
            entry = os.path.join(path, name)
            if is_hidden(name):
                continue
            if os.path.isdir(entry):
                (links if os.path.islink(entry) else folders).append(entry)
            else:
                found.append(os.path.relpath(entry, folder))
    return sorted(found)


def _names(folder: str) -> list:
    try:
        return sorted(os.listdir(folder))
    except OSError as error:
        raise UserError(f"the folder {folder} cannot be read: {error.strerror}.") from error


@contextlib.contextmanager
def replacing(path: str, *, temporary: str | None = None, sync: bool = True):
    """Yields a temporary path beside `path`, which takes its place once it is complete.

    If anything fails, the temporary file or folder is removed and `path` is left as it was.

    Args:
      path: A file that may exist, or a folder that is empty or does not exist. The folders above
        it are made.
      temporary: The temporary path, on the same file system; unique to this process by default. A
        fixed one overwrites what a killed process left behind.
      sync: Whether to wait until the content is on the disk. Without it, a crash of the machine
        (but not of the process) may leave an incomplete file.
    """
    temporary = temporary or f"{path}.tmp-{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        yield temporary
        if sync:
            sync_to_disk(temporary)
        os.replace(temporary, path)
    except BaseException:
        _remove(temporary)
        raise


def write_bytes(path: str, content: bytes, *, sync: bool = True):
    """Writes a file, complete or not at all; see `replacing`."""
    with replacing(path, sync=sync) as temporary, open(temporary, "wb") as file:
        file.write(content)


def write_text(path: str, text: str):
    """Writes a UTF-8 file, complete or not at all."""
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.write(text)


def write_together(contents: dict):
    """Writes files that belong together: all of them, or none.

    Args:
      contents: Path -> bytes. The folders above each path are made.

    Raises:
      UserError: If one cannot be written.
    """
    with contextlib.ExitStack() as stack:
        for path, content in contents.items():
            stack.enter_context(write_errors_explained(path))
            with open(stack.enter_context(replacing(path, sync=False)), "wb") as file:
                file.write(content)


@contextlib.contextmanager
def write_errors_explained(path: str):
    """Raises a UserError that names the file instead of an OSError."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {error.strerror or error}; all files written before it are "
            "complete."
        ) from error


def sync_to_disk(path: str):
    """Waits until the content of a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: str):
    if os.path.isdir(path):
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            os.remove(path)


@contextlib.contextmanager
def removed_on_error(folder: str):
    """Removes a folder made inside the block, and new ones above it, if an error leaves it empty.

    Args:
      folder: If it exists already, nothing is removed.
    """
    new = _missing(folder)
    try:
        yield
    except BaseException:
        for path in new:
            # Fails where the folder holds something: then it stays.
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
    """Returns the folders on the way to `folder` that do not exist, the lowest first."""
    missing, path = [], os.path.abspath(folder)
    while not os.path.exists(path):
        missing.append(path)
        path = os.path.dirname(path)
    return missing
