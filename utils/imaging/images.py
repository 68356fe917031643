"""Image files as bytes: keeps good ones, converts some, refuses those whose colours are unknown.

Kept: JPEG and PNG files of 8 bits or less, RGB, grey or with a palette; TensorFlow decodes all of
them to the colours that viewers show. Converted to RGB PNG files, without loss: files with an EXIF
orientation, which decoders ignore, CMYK files, and BMP, TIFF and WebP files. Refused: images of 16
bits, whose range is unknown, or with transparent pixels, whose background is unknown; files of
several pictures; and images too large for a decoder (`pillow.MOST_PIXELS`).
"""

from __future__ import annotations

import dataclasses
import io

from PIL import Image, ImageOps

from utils.errors import BadImageError
from utils.imaging import jpeg, pillow, png

# Other formats, which TensorFlow does not decode as it does JPEG and PNG.
_CONVERTED = ("BMP", "TIFF", "WEBP")


@dataclasses.dataclass(frozen=True)
class ImageFile:
    """The content of an image file.

    Attributes:
      content: Its bytes, a JPEG or PNG file.
      format: "jpeg" or "png".
      height: Rows.
      width: Columns.
      change: Description of the conversion; empty where the bytes are the file's own.
    """

    content: bytes
    format: str
    height: int
    width: int
    change: str = ""


def standard(content: bytes, name: str) -> ImageFile:
    """Returns an image as a JPEG or PNG file that every decoder reads alike.

    Pixels are decoded only where they must be; the structure of the file is checked.

    Args:
      content: The bytes of a file.
      name: What messages call it.

    Raises:
      BadImageError: If it is truncated, not a JPEG or PNG file, or of a kind whose colours are
        unknown.
    """
    plain = jpeg.plain_header(content)
    if plain is not None:
        pillow.check_size(plain.height, plain.width, name)
        _check_jpeg(content, plain.scan, name)
        return ImageFile(content, "jpeg", plain.height, plain.width)
    image = pillow.open_image(content, name)
    # Cameras put several pictures into one file (MPO), of which every decoder takes the first.
    kind = "JPEG" if image.format == "MPO" else image.format
    if kind not in ("JPEG", "PNG", *_CONVERTED):
        raise BadImageError(f"{name} is a {kind} file; save it as JPEG or PNG")
    if kind == "JPEG":
        _check_jpeg(content, jpeg.start_of_scan(content), name)
    elif kind == "PNG":
        check_png(content, name)
        _check_pixels(png.header(content).depth, image, name)
    else:
        _check_converted(image, name)
    change = _needed_change(image)
    if change:
        return _converted(image, change, name)
    return ImageFile(content, kind.lower(), image.height, image.width)


def _check_converted(image: Image.Image, name: str):
    """Raises BadImageError for other formats that are not one picture of known colours."""
    if getattr(image, "n_frames", 1) > 1:
        raise BadImageError(
            f"{name} holds {image.n_frames} pictures; save the one that the mask belongs to as PNG"
        )
    is_deep = image.mode[0] in "IF"
    _check_pixels(16 if is_deep else 8, image, name)


def _check_pixels(depth: int, image: Image.Image, name: str):
    """Raises BadImageError for images whose colours are unknown."""
    if depth == 16:
        raise BadImageError(
            f"{name} is a 16-bit image; scale its values to 0..255 and save it as 8-bit PNG"
        )
    if image.mode in ("RGBA", "LA") or "transparency" in image.info:
        with pillow.damage_named(name):
            alpha = image.convert("RGBA").getchannel("A")
        if alpha.getextrema() != (255, 255):
            raise BadImageError(
                f"{name} has transparent pixels; save it as RGB on the background that it was "
                "annotated on"
            )


def _needed_change(image: Image.Image) -> str:
    if image.getexif().get(pillow.ORIENTATION, 1) not in (0, 1):
        return "turned upright (EXIF orientation)"
    if image.mode == "CMYK":
        return "CMYK to RGB"
    return f"{image.format} to PNG" if image.format in _CONVERTED else ""


def _converted(image: Image.Image, change: str, name: str) -> ImageFile:
    with pillow.damage_named(name):
        upright = ImageOps.exif_transpose(image).convert("RGB")
    buffer = io.BytesIO()
    # The pixels only: the orientation no longer applies.
    Image.frombytes("RGB", upright.size, upright.tobytes()).save(buffer, "PNG")
    return ImageFile(buffer.getvalue(), "png", upright.height, upright.width, change)


def check_png(content: bytes, name: str):
    """Raises BadImageError if a PNG file is truncated, or a checksum in it is wrong."""
    try:
        png.chunks(content)
    except ValueError as error:
        raise BadImageError(f"{name} {error}") from error


def _check_jpeg(content: bytes, scan: int, name: str):
    if not jpeg.is_complete(content, scan):
        raise BadImageError(f"{name} is truncated")
