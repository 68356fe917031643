"""Reads image files: keeps good bytes, converts some, refuses what would be learned wrongly.

Kept: JPEG and PNG files of 8 bits or less, of colours, grey or with a palette; TensorFlow decodes
all of them to the colours that are shown. Converted, without loss, to RGB PNG files: files that are
shown turned (EXIF orientation), since decoders ignore that, and CMYK files. Refused: 16-bit images,
whose range is not known, and images with transparent pixels, whose background is not.
"""

from __future__ import annotations

import dataclasses
import io
import struct
import zlib

from PIL import Image, ImageOps

from datasets.files import archives
from datasets.files.defects import BadFileError

_ORIENTATION = 0x0112
_JPEG_BEGIN = b"\xff\xd8"
_JPEG_END = b"\xff\xd9"
# Markers of JPEG segments: start of scan, application data 1, frames of the usual methods
# (baseline, extended and progressive, Huffman coded).
_SCAN, _APP1, _FRAMES = 0xDA, 0xE1, (0xC0, 0xC1, 0xC2)
_PNG_DEPTH = 24


@dataclasses.dataclass(frozen=True)
class ImageFile:
    """The content of an image file.

    Attributes:
      content: Its bytes, a JPEG or PNG file.
      format: "jpeg" or "png".
      height: Rows.
      width: Columns.
      change: What was converted, in words; empty where the bytes are the file's own.
    """

    content: bytes
    format: str
    height: int
    width: int
    change: str = ""


def read_image(path: str) -> ImageFile:
    """Reads an image; its pixels are decoded only where they must be, its structure is checked.

    Raises:
      BadFileError: If it is missing, truncated, no JPEG or PNG file, or of a kind whose colours are
        not known.
    """
    content = read(path)
    plain = _plain_jpeg(content)
    if plain is not None:
        height, width, scan = plain
        _check_jpeg(path, content, scan)
        return ImageFile(content, "jpeg", height, width)
    image = open_image(path, content)
    # Cameras put several pictures into one file (MPO), of which every decoder takes the first.
    kind = "JPEG" if image.format == "MPO" else image.format
    if kind not in ("JPEG", "PNG"):
        raise BadFileError(f"{path} is a {kind} file; save it as JPEG or PNG")
    if kind == "JPEG":
        _check_jpeg(path, content, _start_of_scan(content))
    else:
        check_png(path, content)
        _check_pixels(path, content, image)
    change = _needed_change(image)
    if change:
        return _converted(path, image, change)
    return ImageFile(content, kind.lower(), image.height, image.width)


def _check_pixels(path: str, content: bytes, image: Image.Image):
    """Raises BadFileError for PNG files that do not say what their colours are."""
    if content[_PNG_DEPTH] == 16:
        raise BadFileError(
            f"{path} is a 16-bit image; scale its values to 0..255 and save it as 8-bit PNG"
        )
    if image.mode in ("RGBA", "LA") or "transparency" in image.info:
        alpha = _decoded(path, image.convert, "RGBA").getchannel("A")
        if alpha.getextrema() != (255, 255):
            raise BadFileError(
                f"{path} has transparent pixels; save it as RGB on the background that it was "
                "annotated on"
            )


def _needed_change(image: Image.Image) -> str:
    if image.getexif().get(_ORIENTATION, 1) not in (0, 1):
        return "turned upright (EXIF orientation)"
    return "CMYK to RGB" if image.mode == "CMYK" else ""


def _converted(path: str, image: Image.Image, change: str) -> ImageFile:
    upright = _decoded(path, lambda: ImageOps.exif_transpose(image).convert("RGB"))
    buffer = io.BytesIO()
    # The pixels only: not the orientation, which is true no more.
    Image.frombytes("RGB", upright.size, upright.tobytes()).save(buffer, "PNG")
    return ImageFile(buffer.getvalue(), "png", upright.height, upright.width, change)


def _decoded(path: str, decode, *arguments):
    try:
        return decode(*arguments)
    except Exception as error:
        raise BadFileError(f"{path} is damaged: {error}") from error


def read(path: str) -> bytes:
    """Returns the content of a file; raises BadFileError if it is missing or empty."""
    try:
        content = archives.read(path)
    except OSError as error:
        raise BadFileError(f"{path} cannot be read: {error.strerror}") from error
    if not content:
        raise BadFileError(f"{path} is empty")
    return content


def open_image(path: str, content: bytes) -> Image.Image:
    """Returns an image whose pixels are not decoded yet; raises BadFileError if it is none."""
    try:
        return Image.open(io.BytesIO(content))
    # Pillow raises many kinds of errors for damaged files (OSError, SyntaxError, ValueError...).
    except Exception as error:
        raise BadFileError(f"{path} is no image that can be read") from error


def _check_jpeg(path: str, content: bytes, scan: int):
    # The end marker cannot occur inside of the compressed pixels, but in a thumbnail before them.
    if content.rfind(_JPEG_END) < scan:
        raise BadFileError(f"{path} is truncated")


def _start_of_scan(content: bytes) -> int:
    """Returns where a JPEG file's compressed pixels begin; its length if they are missing."""
    for marker, _, end in _segments(content):
        if marker == _SCAN:
            return end
    return len(content)


def _plain_jpeg(content: bytes) -> tuple | None:
    """Returns height, width and start of the scan of the most common kind of JPEG file, else None.

    That is grey or three channels of 8 bits, without Exif: it needs no closer look by Pillow, which
    takes several times as long.
    """
    size = None
    if content[:2] != _JPEG_BEGIN:
        return None
    for marker, begin, end in _segments(content):
        if marker == _SCAN:
            return None if size is None else (*size, end)
        if marker == _APP1 and content[begin : begin + 4] == b"Exif":
            return None
        if marker in _FRAMES and end - begin >= 6:
            bits, height, width, channels = struct.unpack(">BHHB", content[begin : begin + 6])
            if bits != 8 or channels not in (1, 3) or not height or not width:
                return None
            size = height, width
    return None


def _segments(content: bytes):
    """Yields the segments of a JPEG file's header: marker, first byte of the data, byte after."""
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


def check_png(path: str, content: bytes) -> list:
    """Returns the chunks of a PNG file: (name, first byte of the data, byte after them).

    Raises:
      BadFileError: If the file is truncated, or a checksum in it is wrong.
    """
    position, end = 8, len(content)
    name = b""
    chunks = []
    while position + 12 <= end and name != b"IEND":
        length = int.from_bytes(content[position : position + 4], "big")
        after = position + 8 + length
        name = content[position + 4 : position + 8]
        stored = int.from_bytes(content[after : after + 4], "big")
        if after + 4 <= end and zlib.crc32(content[position + 4 : after]) != stored:
            raise BadFileError(f"{path} is damaged: a wrong checksum in {name!r}")
        chunks.append((name, position + 8, after))
        position = after + 4
    if name != b"IEND" or position > end:
        raise BadFileError(f"{path} is truncated")
    return chunks
