"""Fingerprints of records: whether a split is the same as when a run began.

The data of a training step depend on the order and the content of the records. A fingerprint
covers the shards' names and sizes, the length of each record, and the stored checksums of some
hundred records: it is as cheap for a million images as for a thousand, does not depend on where the
folder lies, and changes with every conversion that changes a record's length, the order, or many
records.
"""

from __future__ import annotations

import hashlib
import os

import numpy as np

from datasets.records import shards

_CHECKSUMS = 256


def of_index(index: shards.Index) -> str:
    """Returns 16 hexadecimal digits that stand for the records of a split."""
    digest = hashlib.sha256()
    for path, size in zip(index.paths, index.file_size):
        digest.update(f"{os.path.basename(path)} {size}\n".encode())
    digest.update(np.ascontiguousarray(index.length, "<i8").tobytes())
    chosen = np.unique(np.linspace(0, len(index) - 1, _CHECKSUMS).astype(int)) if len(index) else ()
    for record in chosen:
        digest.update(_checksum(index, record))
    return digest.hexdigest()[:16]


def _checksum(index: shards.Index, record: int) -> bytes:
    """Returns the checksum stored after a record."""
    with open(index.paths[index.shard[record]], "rb") as file:
        file.seek(index.offset[record] + index.length[record])
        return file.read(shards.FOOTER_BYTES)
