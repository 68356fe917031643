"""Reads files from folders, and from .tar and .zip archives as if they were folders.

`VOCtrainval.tar/VOCdevkit/VOC2012/JPEGImages/2007_000027.jpg` is a valid path here, so that a data
set can be converted from its downloads without unpacking them.
"""

from __future__ import annotations

import functools
import os
import re
import tarfile
import zipfile

from utils import files
from utils.errors import UserError

_ARCHIVE = re.compile(r"^(.*?\.(?:tar|zip|tgz|tar\.gz))(?:/(.*))?$", re.IGNORECASE)
_COMPRESSED = (".tgz", ".tar.gz")


def read(path: str) -> bytes:
    """Returns the content of a file.

    Raises:
      OSError: If it cannot be read.
    """
    archive, member = _split(path)
    if archive is None:
        return files.read_bytes(path)
    return _open(archive).read(member)


def read_lines(path: str) -> list:
    """Returns the lines of a text file, stripped.

    Raises:
      UserError: If it cannot be read as text.
    """
    try:
        text = read(path).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read as a list of names: {error}.") from error
    return [line.strip() for line in text.splitlines()]


def is_file(path: str) -> bool:
    """Returns whether a file exists."""
    archive, member = _split(path)
    if archive is None:
        return os.path.isfile(path)
    return member in _open(archive).files


def is_folder(path: str) -> bool:
    """Returns whether a folder exists; an archive counts as one."""
    archive, member = _split(path)
    if archive is None:
        return os.path.isdir(path)
    return member in _open(archive).folders


def names(folder: str) -> list:
    """Returns the names of the entries of a folder, sorted, without hidden ones."""
    archive, member = _split(folder)
    if archive is None:
        return sorted(name for name in os.listdir(folder) if not files.is_hidden(name))
    return sorted(_open(archive).folders[member])


def walk(folder: str) -> list:
    """Returns the paths of all files below a folder, relative to it; see `files.walk`."""
    archive, member = _split(folder)
    if archive is None:
        return files.walk(folder)
    prefix = f"{member}/" if member else ""
    everything = _open(archive).files
    return sorted(name[len(prefix) :] for name in everything if name.startswith(prefix))


def _split(path: str) -> tuple:
    """Returns the archive in a path and the path inside of it; (None, path) without one."""
    match = _ARCHIVE.match(path)
    if match is None or not os.path.isfile(match.group(1)):
        return None, path
    archive = match.group(1)
    if archive.lower().endswith(_COMPRESSED):
        raise UserError(
            f"{archive} is compressed as a whole and must be unpacked first: tar xf {archive}"
        )
    member = os.path.normpath(match.group(2) or "")
    return archive, "" if member == "." else member


def _open(archive: str):
    """Returns an archive; each process opens its own, since they would share a file position."""
    status = os.stat(archive)
    return _opened(archive, os.getpid(), (status.st_size, status.st_mtime_ns))


@functools.lru_cache(maxsize=8)
def _opened(archive: str, unused_process: int, unused_state: tuple):
    try:
        return _Zip(archive) if archive.lower().endswith(".zip") else _Tar(archive)
    except (OSError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{archive} cannot be read as an archive ({error}); fetch it again."
        ) from error


class _Archive:
    """The files of an archive by their names, without hidden ones, and each folder's content."""

    def __init__(self, found: dict):
        members = {os.path.normpath(name): entry for name, entry in found.items()}
        self.files = {
            name: entry
            for name, entry in members.items()
            if not any(map(files.is_hidden, name.split("/")))
        }
        self.folders = {"": set()}
        for name in self.files:
            child = name
            while child:
                parent, _, last = child.rpartition("/")
                siblings = self.folders.setdefault(parent, set())
                if last in siblings:
                    break
                siblings.add(last)
                child = parent

    def _entry(self, member: str):
        if member not in self.files:
            raise FileNotFoundError(2, "No such file in the archive", member)
        return self.files[member]


class _Tar(_Archive):
    """An uncompressed tar file, whose files are read by their offset."""

    def __init__(self, path: str):
        with tarfile.open(path, "r:") as content:
            super().__init__(
                {entry.name: (entry.offset_data, entry.size) for entry in content if entry.isfile()}
            )
        self._path = path

    def read(self, member: str) -> bytes:
        offset, size = self._entry(member)
        with open(self._path, "rb") as file:
            file.seek(offset)
            return file.read(size)


class _Zip(_Archive):
    """A zip file."""

    def __init__(self, path: str):
        self._content = zipfile.ZipFile(path)
        super().__init__(
            {entry.filename: entry for entry in self._content.infolist() if not entry.is_dir()}
        )

    def read(self, member: str) -> bytes:
        try:
            return self._content.read(self._entry(member))
        except zipfile.BadZipFile as error:
            raise OSError(5, f"Damaged in the archive: {error}") from error
