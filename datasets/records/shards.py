"""The files that records lie in: their names, and where in them each record is.

A TFRecord file is a row of records, each of which is: length (uint64, little endian), checksum of
the length (uint32), the bytes, checksum of the bytes (uint32). Source: TensorFlow's documentation
of the format ("TFRecords format details"). The checksum is a masked CRC-32C.
"""

from __future__ import annotations

import dataclasses
import glob
import os
import re

import numpy as np

from utils.errors import UserError

HEADER_BYTES = 12
FOOTER_BYTES = 4

# A conversion that is putting its files in place leaves this file until it is done.
INCOMPLETE_FILE = "CONVERSION_INCOMPLETE"

_SHARD = re.compile(r"^(?P<split>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})(\.tfrecords?)?$")


@dataclasses.dataclass(frozen=True)
class Index:
    """Where the records of a split are.

    Attributes:
      paths: The shards, sorted by name.
      shard: [records] int32, position in `paths`.
      offset: [records] int64, first byte of the record's content in its shard.
      length: [records] int64, number of bytes of that content.
      file_size: [shards] int64, bytes of each file.
      place: [records] int64, number of the record in its shard.
    """

    paths: tuple[str, ...]
    shard: np.ndarray
    offset: np.ndarray
    length: np.ndarray
    file_size: np.ndarray
    place: np.ndarray

    def __len__(self) -> int:
        return len(self.shard)

    def name(self, record: int) -> str:
        """Returns a record's number and shard, for messages."""
        return f"record {self.place[record]} of {self.paths[self.shard[record]]}"

    def without(self, records) -> Index:
        """Returns the index without some of the records."""
        kept = {
            name: np.delete(getattr(self, name), records)
            for name in ("shard", "offset", "length", "place")
        }
        return dataclasses.replace(self, **kept)

    def read(self, record: int) -> bytes:
        """Returns the content of one record."""
        with open(self.paths[self.shard[record]], "rb") as file:
            file.seek(self.offset[record])
            return file.read(self.length[record])


def shard_name(split: str, number: int, count: int) -> str:
    """Returns the file name of a shard, for example train-00000-of-00004.tfrecord."""
    return f"{split}-{number:05d}-of-{count:05d}.tfrecord"


def splits(folder: str) -> tuple[str, ...]:
    """Returns the splits that a folder holds shards of, sorted."""
    found = {split_of(name) for name in os.listdir(folder)}
    return tuple(sorted(split for split in found if split))


def split_of(name: str) -> str | None:
    """Returns the split that a file is a shard of, or None if it is not a shard."""
    match = _SHARD.match(name)
    return match.group("split") if match and not name.startswith(".") else None


def check_complete(folder: str):
    """Raises UserError if a conversion into the folder was interrupted."""
    if os.path.exists(os.path.join(folder, INCOMPLETE_FILE)):
        raise UserError(
            f"a conversion into {folder} was interrupted; run the same python -m datasets.convert "
            "again."
        )


def find(folder: str, split: str) -> tuple[str, ...]:
    """Returns the shards of a split, the files SPLIT-*, sorted by name.

    Raises:
      UserError: If there are none, or one is missing.
    """
    paths = paths_of(folder, split)
    if not paths:
        known = ", ".join(splits(folder))
        raise UserError(
            f"{folder} has no records of split {split} ({split}-*.tfrecord); "
            + (f"the splits there are {known}." if known else "it has no records at all.")
        )
    _check_count(paths)
    return paths


def paths_of(folder: str, split: str) -> tuple[str, ...]:
    """Returns the files SPLIT-*, sorted by name, whether or not some are missing."""
    pattern = os.path.join(glob.escape(folder), glob.escape(split) + "-*")
    return tuple(
        sorted(
            path
            for path in glob.glob(pattern)
            # train-* also finds the shards of a split called train-extra.
            if split_of(os.path.basename(path)) in (split, None) and os.path.isfile(path)
        )
    )


def _check_count(paths: tuple):
    matches = [_SHARD.match(os.path.basename(path)) for path in paths]
    counts = {int(match.group("count")) for match in matches if match}
    if len(counts) == 1 and all(matches) and counts != {len(paths)}:
        raise UserError(
            f"{len(paths)} of {counts.pop()} shards like {paths[0]} exist; copy the missing "
            "ones, or convert the data again."
        )
    if len(counts) > 1:
        raise UserError(
            f"the shards like {paths[0]} are of several conversions "
            f"({', '.join(f'-of-{count:05d}' for count in sorted(counts))}); keep one of them."
        )


def index(folder: str, split: str) -> Index:
    """Returns the index of a split; reads only the lengths of the records.

    Raises:
      UserError: If a shard is missing, truncated or not a TFRecord file.
    """
    return index_of_files(find(folder, split))


def index_of_files(paths: tuple) -> Index:
    """Returns the index of some shards; see `index`."""
    frames = [_frames(path) for path in paths]
    return Index(
        paths=paths,
        shard=np.repeat(np.arange(len(paths), dtype=np.int32), [len(frame) for frame in frames]),
        offset=np.concatenate([frame[:, 0] for frame in frames]),
        length=np.concatenate([frame[:, 1] for frame in frames]),
        file_size=np.array([os.path.getsize(path) for path in paths], np.int64),
        place=np.concatenate([np.arange(len(frame)) for frame in frames]),
    )


def _frames(path: str) -> np.ndarray:
    """Returns [records, 2] int64: offset and length of each record's content."""
    size = os.path.getsize(path)
    if size == 0:
        return np.zeros([0, 2], np.int64)
    content = np.memmap(path, np.uint8, mode="r")
    frames, headers, position = [], [], 0
    while position < size:
        header = content[position : position + HEADER_BYTES].tobytes()
        length = int.from_bytes(header[:8], "little")
        end = position + HEADER_BYTES + length + FOOTER_BYTES
        if len(header) < HEADER_BYTES or end > size:
            _check_headers([*headers, header], path)
            raise UserError(
                f"{path} is truncated in record {len(frames)}: it has {size} bytes; copy the "
                "file again, or convert the data again."
            )
        frames.append((position + HEADER_BYTES, length))
        headers.append(header)
        position = end
    _check_headers(headers, path)
    return np.array(frames, np.int64)


def _check_headers(headers: list, path: str):
    """Raises UserError at the first length whose checksum is wrong."""
    whole = [header for header in headers if len(header) == HEADER_BYTES]
    values = np.frombuffer(b"".join(whole), np.uint8).reshape(-1, HEADER_BYTES)
    stored = np.ascontiguousarray(values[:, 8:]).view("<u4")[:, 0]
    wrong = np.flatnonzero(_masked_crc(values[:, :8]) != stored)
    if wrong.size:
        raise UserError(
            f"record {wrong[0]} of {path} is damaged or the file is not an (uncompressed) TFRecord "
            "file; convert the data again."
        )


def _crc_table() -> np.ndarray:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> np.uint32(1)) ^ np.uint32(0x82F63B78), table >> 1)
    return table.astype(np.uint32)


_CRC_TABLE = _crc_table()


def _masked_crc(rows: np.ndarray) -> np.ndarray:
    """Returns the masked CRC-32C of each row of bytes, [rows] uint32."""
    crc = np.full(len(rows), 0xFFFFFFFF, np.uint32)
    for column in rows.T:
        crc = _CRC_TABLE[(crc ^ column) & 0xFF] ^ (crc >> np.uint32(8))
    crc = ~crc
    return ((crc >> np.uint32(15)) | (crc << np.uint32(17))) + np.uint32(0xA282EAD8)
