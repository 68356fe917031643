"""PNG files as bytes: their chunks, and pixels of 8 or 16 bits per channel.

Pillow reads 16-bit colours as 8-bit ones, and decodes where the header is enough.
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Bits per channel and kind of an 8-bit file, as they stand in the header.
GREY_8, PALETTE_8 = b"\x08\x00", b"\x08\x03"
KIND = slice(24, 26)

# Where numbers stand in a file of one run of compressed pixels after the header, and how many bytes
# there are before the pixels and after them.
WIDTH, HEIGHT, LENGTH = 16, 20, 33
BEFORE, AFTER = 41, 16
# Such a file of grey pixels of 8 bits: (place, bytes).
PLAIN_GREY = ((24, b"\x08\x00\x00\x00\x00"), (37, b"IDAT"))

_CHANNELS_OF_KIND = {0: 1, 2: 3, 4: 2, 6: 4}
_KIND_OF_CHANNELS = {channels: kind for kind, channels in _CHANNELS_OF_KIND.items()}
_COMPRESSION = 6


class Header(NamedTuple):
    """The header of a PNG file; `channels` is None with a palette."""

    width: int
    height: int
    depth: int
    channels: int | None
    is_interlaced: bool


def header(content: bytes) -> Header:
    """Returns the header of a PNG file.

    Raises:
      ValueError: If it is another file.
    """
    if content[:8] != SIGNATURE or len(content) < 29:
        raise ValueError("is not a PNG file")
    width, height, depth, kind, _, _, interlacing = struct.unpack(">IIBBBBB", content[16:29])
    return Header(width, height, depth, _CHANNELS_OF_KIND.get(kind), bool(interlacing))


def chunks(content: bytes) -> list:
    """Returns the chunks of a PNG file: (name, first byte of the data, byte after them).

    Raises:
      ValueError: If the file is truncated, or a checksum in it is wrong.
    """
    position, end = 8, len(content)
    name = b""
    found = []
    while position + 12 <= end and name != b"IEND":
        length = int.from_bytes(content[position : position + 4], "big")
        after = position + 8 + length
        name = content[position + 4 : position + 8]
        stored = int.from_bytes(content[after : after + 4], "big")
        if after + 4 <= end and zlib.crc32(content[position + 4 : after]) != stored:
            raise ValueError(f"is damaged: a wrong checksum in {name!r}")
        found.append((name, position + 8, after))
        position = after + 4
    if name != b"IEND" or position > end:
        raise ValueError("is truncated")
    return found


def compressed(content: bytes) -> bytes:
    """Returns the compressed pixels of a PNG file; raises ValueError as `chunks` does."""
    return b"".join(content[begin:end] for name, begin, end in chunks(content) if name == b"IDAT")


def chunk(name: bytes, data: bytes) -> bytes:
    """Returns a chunk with its length and checksum."""
    checksum = zlib.crc32(name + data).to_bytes(4, "big")
    return len(data).to_bytes(4, "big") + name + data + checksum


def encode(samples: np.ndarray) -> bytes:
    """Returns a PNG file.

    Args:
      samples: uint8 or uint16 [h, w, channels], one to four channels.
    """
    height, width, channels = samples.shape
    depth = 8 * samples.itemsize
    rows = samples.astype(samples.dtype.newbyteorder(">")).tobytes()
    stride = width * channels * samples.itemsize
    # Each row begins with its filter; 0 is none, which is decoded fastest.
    data = b"".join(b"\0" + rows[at : at + stride] for at in range(0, len(rows), stride))
    kind = _KIND_OF_CHANNELS[channels]
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)),
        (b"IDAT", zlib.compress(data, _COMPRESSION)),
        (b"IEND", b""),
    )
    return SIGNATURE + b"".join(chunk(name, data) for name, data in parts)


def decode(content: bytes) -> np.ndarray:
    """Returns the pixels of a PNG file, uint8 or uint16 [h, w, channels].

    Raises:
      ValueError: If it is damaged, or has a palette, interlacing or another depth.
    """
    found = header(content)
    if found.channels is None or found.depth not in (8, 16) or found.is_interlaced:
        raise ValueError("has a palette, interlacing, or another depth than 8 or 16 bits")
    pixel_bytes = found.channels * found.depth // 8
    try:
        rows = np.frombuffer(zlib.decompress(compressed(content)), np.uint8)
    except zlib.error as error:
        raise ValueError(f"has damaged pixels ({error})") from error
    if rows.size != found.height * (1 + found.width * pixel_bytes):
        raise ValueError("has damaged pixels")
    values = _without_filters(rows.reshape(found.height, -1), pixel_bytes)
    dtype = np.dtype(">u2") if found.depth == 16 else np.dtype(np.uint8)
    samples = values.view(dtype).reshape(found.height, found.width, found.channels)
    return samples.astype(dtype.newbyteorder("="))


def _without_filters(rows: np.ndarray, pixel_bytes: int) -> np.ndarray:
    """Returns rows of bytes [h, 1 + n] without the filters that each begins with, [h, n].

    Source: the PNG specification, section 9.
    """
    filters, values = rows[:, 0], rows[:, 1:].copy()
    above = np.zeros(values.shape[1], np.uint8)
    for filter_type, row in zip(filters, values):
        if filter_type == 1:
            row[:] = np.cumsum(row.reshape(-1, pixel_bytes), axis=0, dtype=np.uint8).ravel()
        elif filter_type == 2:
            row += above
        elif filter_type in (3, 4):
            _undo_prediction(row, above, pixel_bytes, _mean if filter_type == 3 else _paeth)
        elif filter_type:
            raise ValueError(f"has damaged pixels (filter {filter_type})")
        above = row
    return values


def _undo_prediction(row, above, pixel_bytes: int, predict):
    """Adds to each byte of a row what is predicted from the bytes left, above, and above left."""
    for place in range(len(row)):
        left = int(row[place - pixel_bytes]) if place >= pixel_bytes else 0
        corner = int(above[place - pixel_bytes]) if place >= pixel_bytes else 0
        row[place] = (int(row[place]) + predict(left, int(above[place]), corner)) & 255


def _mean(left: int, above: int, unused_corner: int) -> int:
    return (left + above) // 2


def _paeth(left: int, above: int, corner: int) -> int:
    estimate = left + above - corner
    return min((left, above, corner), key=lambda value: abs(estimate - value))


def without_palette(content: bytes) -> bytes:
    """Returns a PNG file with 8-bit palette indices as a grey one, its compressed pixels untouched.

    Both kinds store the same bytes; only the header says what they mean. Pixels in several chunks
    come into one.
    """
    parts = {b"IHDR": b"", b"IDAT": b"", b"IEND": b""}
    for name, begin, end in chunks(content):
        if name in parts:
            parts[name] += content[begin:end]
    parts[b"IHDR"] = parts[b"IHDR"][:8] + GREY_8 + parts[b"IHDR"][10:]
    return SIGNATURE + b"".join(chunk(name, data) for name, data in parts.items())


def is_plain_grey(content: bytes) -> bool:
    """Returns whether a file is grey, of 8 bits, and its rows one run of pixels without filters.

    Such files need no decoder: inflating, which takes half as long, gives their pixels.
    """
    if len(content) < BEFORE or not all(
        content[at : at + len(expected)] == expected for at, expected in PLAIN_GREY
    ):
        return False
    width, height = struct.unpack(">II", content[WIDTH : WIDTH + 8])
    (length,) = struct.unpack(">I", content[LENGTH : LENGTH + 4])
    if len(content) != BEFORE + length + AFTER:
        return False
    try:
        values = zlib.decompress(content[BEFORE : BEFORE + length])
    except zlib.error:
        return False
    return len(values) == height * (width + 1) and not any(values[:: width + 1])
