"""Downloads public data sets and checkpoints: `python -m datasets.fetch NAME`.

  python -m datasets.fetch voc2012 --download_dir=downloads
  python -m datasets.fetch list

An interrupted download is resumed. A file with a known checksum is verified before it gets its
name; docs/data.md names the sources of the checksums. Nothing is unpacked: the converter reads .tar
and .zip files (SBD's benchmark.tgz must be unpacked).
"""

from __future__ import annotations

import hashlib
import http.client
import os
import urllib.error
import urllib.request

import common
from datasets import downloads
from options.data_tools import FetchOptions
from utils import log
from utils.errors import OptionError, UserError

_CHUNK = 1 << 20
_TIMEOUT_SECONDS = 60
_PART = ".part"


def main(flag_values, name: str):
    """Reads the flags and downloads, or lists the downloads."""
    options = common.from_flags(FetchOptions, flag_values)
    if name == "list":
        common.refuse_given(common.given_flags(flag_values), options.names(), "with list")
        print(_listing())
        return
    for download in find(name):
        fetch(download, options)


def find(name: str) -> tuple:
    """Returns the downloads of a name.

    Raises:
      OptionError: If there are none; the message gives the reason for data that need a login.
    """
    if name in downloads.WITH_LOGIN:
        raise OptionError(f"{name} cannot be downloaded here: {downloads.WITH_LOGIN[name]}")
    if name not in downloads.DOWNLOADS:
        known = ", ".join(["list", *downloads.DOWNLOADS])
        raise OptionError(f"{name} is not known; known: {known}.")
    return downloads.DOWNLOADS[name]


def _listing() -> str:
    lines = []
    for name, found in downloads.DOWNLOADS.items():
        lines += [f"{name:24s} {download.url}  {download.size_text}" for download in found]
    return "\n".join(lines)


def fetch(download: downloads.Download, options: FetchOptions) -> str:
    """Downloads a file, unless it exists; returns its path.

    Raises:
      UserError: If it cannot be downloaded, or is not the expected file.
    """
    path = os.path.join(options.download_dir, download.file_name)
    if os.path.exists(path):
        _check(path, path, download)
        print(f"{path} exists already.")
        return path
    os.makedirs(options.download_dir, exist_ok=True)
    for attempt in range(options.attempts):
        try:
            _receive(download, path + _PART)
            break
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, urllib.error.HTTPError) and error.code < 500:
                raise UserError(f"{download.url} cannot be downloaded: {error}.") from error
            if attempt + 1 == options.attempts:
                raise UserError(
                    f"{download.url} could not be read to the end ({error}); the part that was "
                    f"received is in {path + _PART}: run the same command again to resume."
                ) from error
    _check(path + _PART, path, download)
    os.replace(path + _PART, path)
    print(f"{path}: {download.checked_by}.")
    return path


def _receive(download: downloads.Download, part: str):
    """Appends the missing rest to the part of the file that was received."""
    begin = os.path.getsize(part) if os.path.exists(part) else 0
    request = urllib.request.Request(download.url)
    if begin:
        request.add_header("Range", f"bytes={begin}-")
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        # There is nothing after the received part: it is the whole file.
        if error.code == 416 and begin:
            return
        raise
    with response:
        if response.getcode() != 206:
            begin = 0
        length = response.headers.get("Content-Length")
        total = None if length is None else begin + int(length)
        progress = log.Progress(_megabytes(total), "MB", initial=_megabytes(begin))
        with open(part, "ab" if begin else "wb") as file:
            done = _copy(response, file, begin, progress)
    if total is not None and done < total:
        raise OSError(f"the connection ended after {done} of {total} bytes")


def _copy(response, file, done: int, progress: log.Progress) -> int:
    try:
        while True:
            chunk = response.read(_CHUNK)
            if not chunk:
                return done
            file.write(chunk)
            done += len(chunk)
            progress.update(_megabytes(done))
    finally:
        progress.close()


def _megabytes(number: int | None) -> int | None:
    return None if number is None else number >> 20


def _check(found: str, path: str, download: downloads.Download):
    """Raises UserError if a file is not the expected one; removes a wrong part."""
    if download.md5 is None or _md5(found) == download.md5:
        return
    if found != path:
        os.remove(found)
        raise UserError(
            f"{download.url} is not the expected file (its MD5 is not {download.md5}); it was "
            "removed: run the same command again, or download it manually."
        )
    raise UserError(
        f"{path} is not the file of {download.url} (its MD5 is not {download.md5}); move it away."
    )


def _md5(path: str) -> str:
    digest = hashlib.md5()
    with open(path, "rb") as file:
        for chunk in iter(lambda: file.read(_CHUNK), b""):
            digest.update(chunk)
    return digest.hexdigest()


if __name__ == "__main__":
    common.run(main, FetchOptions, positional=("NAME",))
