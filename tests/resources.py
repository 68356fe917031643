"""Golden numbers and real data, which lie outside the checkout.

The environment variables DEEPLAB_GOLDEN and DEEPLAB_DATA name their folders. Without them the tests
that need them are skipped, and say so.
"""

import atexit
import functools
import json
import os
import pathlib
import shutil
import tarfile
import tempfile

import pytest


def golden_folder() -> pathlib.Path:
    """Returns the folder of golden numbers, or skips the test."""
    return _folder("DEEPLAB_GOLDEN", "golden numbers of the reference")


def golden_json(name: str):
    """Returns the content of a JSON file of the golden folder, or skips the test."""
    return json.loads((golden_folder() / name).read_text(encoding="utf-8"))


def data_folder(name: str) -> pathlib.Path:
    """Returns the folder that NAME.tar.gz of the real data unpacks to, or skips the test.

    Archives are unpacked once per process, and removed at its end. Treat them as read-only.
    """
    archive = _folder("DEEPLAB_DATA", "real data") / f"{name}.tar.gz"
    return _unpacked(archive) / name


def pretrained(name: str) -> str:
    """Returns the prefix of a checkpoint of the real data, or skips the test."""
    return str(_folder("DEEPLAB_DATA", "real data") / "pretrained" / name / "model.ckpt")


def _folder(variable: str, what: str) -> pathlib.Path:
    value = os.environ.get(variable)
    if not value:
        pytest.skip(f"{variable} is not set: no {what}")
    folder = pathlib.Path(value)
    if not folder.is_dir():
        pytest.fail(f"{variable}={value} is no folder.", pytrace=False)
    return folder


@functools.lru_cache(maxsize=None)
def _unpacked(archive: pathlib.Path) -> pathlib.Path:
    folder = tempfile.mkdtemp(prefix="deeplab-data-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with tarfile.open(archive) as content:
        content.extractall(folder)
    return pathlib.Path(folder)
