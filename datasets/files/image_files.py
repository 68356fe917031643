"""Reads image files from folders and archives."""

from __future__ import annotations

import contextlib

from datasets.files import archives
from datasets.files.defects import BadFileError
from utils.errors import BadImageError
from utils.imaging import images


def read(path: str) -> bytes:
    """Returns the content of a file; raises BadFileError if it is missing or empty."""
    try:
        content = archives.read(path)
    except OSError as error:
        raise BadFileError(f"{path} cannot be read: {error.strerror}") from error
    if not content:
        raise BadFileError(f"{path} is empty")
    return content


def read_image(path: str) -> images.ImageFile:
    """Reads an image as a JPEG or PNG file that every decoder reads alike.

    Raises:
      BadFileError: If it is missing, or refused by `images.standard`.
    """
    content = read(path)
    with bad_images_as_bad_files():
        return images.standard(content, path)


@contextlib.contextmanager
def bad_images_as_bad_files():
    """Raises a BadImageError as a BadFileError, which checks and the audit report by kind."""
    try:
        yield
    except BadImageError as error:
        raise BadFileError(str(error)) from error
