"""JPEG files as bytes: their header and their end."""

from __future__ import annotations

import struct
from typing import NamedTuple

BEGIN = b"\xff\xd8"
_END = b"\xff\xd9"
# Markers of segments: start of scan, application data 1, frames of the usual methods (baseline,
# extended and progressive, Huffman coded).
_SCAN, _APP1, _FRAMES = 0xDA, 0xE1, (0xC0, 0xC1, 0xC2)


class Header(NamedTuple):
    """The size of a JPEG file, and where its compressed pixels begin."""

    height: int
    width: int
    scan: int


def plain_header(content: bytes) -> Header | None:
    """Returns the header of the most common kind of JPEG file, None for every other file.

    That is grey or three channels of 8 bits, without Exif: it needs no inspection by Pillow, which
    takes several times as long.
    """
    size = None
    if content[:2] != BEGIN:
        return None
    for marker, begin, end in _segments(content):
        if marker == _SCAN:
            return None if size is None else Header(*size, end)
        if marker == _APP1 and content[begin : begin + 4] == b"Exif":
            return None
        if marker in _FRAMES and end - begin >= 6:
            bits, height, width, channels = struct.unpack(">BHHB", content[begin : begin + 6])
            if bits != 8 or channels not in (1, 3) or not height or not width:
                return None
            size = height, width
    return None


def start_of_scan(content: bytes) -> int:
    """Returns where the compressed pixels begin; the length of the file if they are missing."""
    for marker, _, end in _segments(content):
        if marker == _SCAN:
            return end
    return len(content)


def is_complete(content: bytes, scan: int) -> bool:
    """Returns whether the file has its end marker.

    It cannot occur inside of the compressed pixels, but in a thumbnail before them.
    """
    return content.rfind(_END) >= scan


def _segments(content: bytes):
    """Yields the segments of the header: marker, first byte of the data, byte after."""
    position = 2
    while position + 4 <= len(content) and content[position] == 0xFF:
        marker = content[position + 1]
        if marker == 0xFF:
            # A fill byte.
            position += 1
            continue
        end = position + 2 + int.from_bytes(content[position + 2 : position + 4], "big")
        yield marker, position + 4, end
        if marker == _SCAN:
            return
        position = end
