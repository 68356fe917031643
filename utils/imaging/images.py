"""Image files as bytes: keeps good ones, converts some, refuses those whose colours are unknown.

Kept: JPEG and PNG files of 8 bits or less, RGB, grey or with a palette; TensorFlow decodes all of
them to the colours that viewers show. Converted to RGB PNG files, without loss: files with an EXIF
orientation, which decoders ignore, and CMYK files. Refused: 16-bit images, whose range is unknown,
and images with transparent pixels, whose background is unknown.
"""

from __future__ import annotations

import dataclasses
import io

from PIL import Image, ImageOps

from utils.errors import BadImageError
from utils.imaging import jpeg, pillow, png


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
        _check_jpeg(content, plain.scan, name)
        return ImageFile(content, "jpeg", plain.height, plain.width)
    image = pillow.open_image(content, name)
    # Cameras put several pictures into one file (MPO), of which every decoder takes the first.
    kind = "JPEG" if image.format == "MPO" else image.format
    if kind not in ("JPEG", "PNG"):
        raise BadImageError(f"{name} is a {kind} file; save it as JPEG or PNG")
    if kind == "JPEG":
        _check_jpeg(content, jpeg.start_of_scan(content), name)
    else:
        check_png(content, name)
        _check_pixels(content, image, name)
    change = _needed_change(image)
    if change:
        return _converted(image, change, name)
    return ImageFile(content, kind.lower(), image.height, image.width)


def _check_pixels(content: bytes, image: Image.Image, name: str):
    """Raises BadImageError for PNG files whose colours are unknown."""
    if png.header(content).depth == 16:
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
    return "CMYK to RGB" if image.mode == "CMYK" else ""


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
