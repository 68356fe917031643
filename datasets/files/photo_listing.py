"""Finds the photos of --input, each with a unique name for its results."""

from __future__ import annotations

import dataclasses
import glob
import os
import sys

from absl import logging

from utils import files
from utils.errors import UserError

EXTENSIONS = (
    *(".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp"),
    *(".ppm", ".pgm", ".mpo", ".jfif"),
)
LIST_EXTENSIONS = (".txt", ".lst", ".list")
STANDARD_INPUT = "-"


@dataclasses.dataclass(frozen=True)
class Photo:
    """An image file to predict.

    Attributes:
      path: The file.
      name: The name of its results: unique, without extension, possibly with folders.
    """

    path: str
    name: str


def find(inputs, *, leave_out: str | None = None, stream=None) -> list:
    """Returns the photos of all inputs, each file once, in the given order.

    An input is an image file, a folder (searched with its sub-folders, which the names keep), a
    text file with one path per line, a pattern with `*`, `?` or `[`, or `-` for paths on standard
    input. Listed paths are relative to the folder of their list, or else to the current one.

    Args:
      inputs: The inputs.
      leave_out: A folder to skip, such as that of the results.
      stream: Standard input, replaceable in tests.

    Raises:
      UserError: If an input does not exist or has no images.
    """
    entries = []
    for value in inputs:
        entries += _entries(value, leave_out, stream)
    unique = {}
    for path, name in entries:
        unique.setdefault(os.path.realpath(path), (path, name))
    if len(unique) < len(entries):
        logging.info("Skipping %d repeated inputs.", len(entries) - len(unique))
    return _with_unique_names(list(unique.values()))


def _entries(value: str, leave_out: str | None, stream) -> list:
    """Returns (path, wanted name) of each image of one input."""
    if value == STANDARD_INPUT:
        lines = (stream or sys.stdin).read().splitlines()
        return _from_lines(lines, "", "standard input")
    if os.path.isdir(value):
        return _from_folder(value, leave_out)
    if os.path.isfile(value):
        if os.path.splitext(value)[1].lower() in LIST_EXTENSIONS:
            return _from_list(value)
        return [(value, _stem(value))]
    if glob.has_magic(value):
        found = [path for path in sorted(glob.glob(value, recursive=True)) if _is_image(path)]
        if not found:
            raise UserError(f"--input={value} matches no images; check the pattern.")
        return [(path, _stem(path)) for path in found]
    raise UserError(
        f"--input={value} does not exist; pass an image, a folder, a list (.txt), a pattern, or - "
        "for paths on standard input."
    )


def is_image(name: str) -> bool:
    """Whether a file has the name of an image."""
    return os.path.splitext(name)[1].lower() in EXTENSIONS


def _is_image(path: str) -> bool:
    return is_image(path) and os.path.isfile(path)


def _stem(path: str) -> str:
    return os.path.splitext(os.path.basename(path))[0]


def _from_folder(folder: str, leave_out: str | None) -> list:
    names = files.walk(folder, leave_out)
    images = [name for name in names if _is_image(os.path.join(folder, name))]
    if not images:
        raise UserError(
            f"--input={folder} holds no images ({', '.join(EXTENSIONS)}); check the folder."
        )
    if len(images) < len(names):
        logging.info("%s: skipping %d files that are not images.", folder, len(names) - len(images))
    return [(os.path.join(folder, name), os.path.splitext(name)[0]) for name in images]


def _from_list(path: str) -> list:
    try:
        with open(path, encoding="utf-8-sig") as file:
            lines = file.read().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--input={path} cannot be read as a list of paths: {error}.") from error
    return _from_lines(lines, os.path.dirname(path), path)


def _from_lines(lines: list, folder: str, what: str) -> list:
    paths = [line.strip() for line in lines if line.strip()]
    if not paths:
        raise UserError(f"{what} names no images; write one path per line.")
    paths = [_existing(os.path.join(folder, path), path) for path in paths]
    # Missing files are reported with the images that cannot be read.
    return [(path, _stem(path)) for path in paths]


def _existing(path: str, otherwise: str) -> str:
    return path if os.path.exists(path) else otherwise


def _with_unique_names(found: list) -> list:
    """Returns photos; equal names are extended by parts of their paths until they differ."""
    groups = {}
    for path, name in found:
        groups.setdefault(name, []).append(path)
    names, used = {}, {name for name, paths in groups.items() if len(paths) == 1}
    for name, paths in groups.items():
        longer = [name] if len(paths) == 1 else _distinct(name, paths, used)
        used.update(longer)
        names.update(zip(paths, longer))
    return [Photo(path, names[path]) for path, _ in found]


def _distinct(name: str, paths: list, used: set) -> list:
    """Returns one name per path, by the first extension that makes all of them different."""
    for lengthen in (_with_folder, _with_extension, _with_whole_path):
        longer = [lengthen(name, path) for path in paths]
        if len(set(longer)) == len(longer) and not used.intersection(longer):
            return longer
    return [f"{longer[index]}_{index + 1}" for index in range(len(longer))]


def _with_folder(name: str, path: str) -> str:
    folder = os.path.basename(os.path.dirname(os.path.abspath(path)))
    return os.path.join(os.path.dirname(name), f"{folder}_{os.path.basename(name)}")


def _with_extension(name: str, path: str) -> str:
    return f"{name}_{os.path.splitext(path)[1].lstrip('.')}"


def _with_whole_path(unused_name: str, path: str) -> str:
    return os.path.abspath(path).strip(os.sep).replace(os.sep, "_").replace(".", "_")
