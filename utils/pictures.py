"""Pictures of a segmented image: small ones for reports, overlays at full size, and a legend.

For reports arrays go in and encoded bytes come out, so that many images can be kept while a split
is evaluated.
"""

from __future__ import annotations

import dataclasses
import io

import numpy as np
from PIL import Image, ImageDraw, ImageFont

# How strongly class colours cover the image below them.
_OPACITY = 0.65
_WRONG = (235, 40, 70)
_JPEG_QUALITY = 86
# Of a legend, in pixels.
_ROW, _SWATCH, _MARGIN, _FONT_SIZE = 30, (36, 20), 12, 16
_ROWS_PER_COLUMN = 32


@dataclasses.dataclass(frozen=True)
class Panels:
    """Four views of one image as JPEG files of the same size.

    Attributes:
      image: The image.
      truth: Class colours of the labels over the image; ignored pixels are bleached.
      prediction: Class colours of the predictions over the image.
      error: The image in dark grey with the wrong pixels in red; ignored pixels are bleached.
    """

    image: bytes
    truth: bytes
    prediction: bytes
    error: bytes


def panels(image, labels, predictions, *, colors, ignore_label: int, longest_side: int) -> Panels:
    """Draws the four views of an image.

    Args:
      image: [h, w, 3], 0..255.
      labels: Integers [h, w], class ids or ignore_label.
      predictions: Integers [h, w], class ids.
      colors: (red, green, blue) by class id.
      ignore_label: Label of pixels that do not count.
      longest_side: The views are shrunk, if needed, to fit this many pixels.
    """
    size = _fitting_size(image.shape[:2], longest_side)
    image = np.asarray(
        Image.fromarray(np.clip(np.rint(image), 0, 255).astype(np.uint8)).resize(
            size, Image.BILINEAR
        ),
        np.float32,
    )
    labels = _shrunk_ids(labels, size)
    predictions = _shrunk_ids(predictions, size)
    ignored = labels == ignore_label
    palette = np.zeros([256, 3], np.float32)
    palette[: len(colors)] = colors

    truth = _blend(image, palette[labels])
    truth[ignored] = _blend(image, 255.0)[ignored]
    grey = np.repeat(image.mean(axis=2, keepdims=True), 3, axis=2) * 0.45
    error = np.where(ignored[..., np.newaxis], _blend(grey, 255.0), grey)
    wrong = (labels != predictions) & ~ignored
    error[wrong] = _blend(grey, np.asarray(_WRONG, np.float32), 0.9)[wrong]
    views = (image, truth, _blend(image, palette[predictions]), error)
    return Panels(*(_jpeg(view) for view in views))


def overlay(image, labels, colors, opacity: float = 0.55) -> np.ndarray:
    """Returns class colours over an image, at its size: uint8 [h, w, 3].

    A class whose colour is black, such as VOC's background, leaves the image as it is: black over
    it would hide it and say nothing.

    Args:
      image: uint8 [h, w, 3].
      labels: Integers [h, w], class ids.
      colors: (red, green, blue) by class id.
      opacity: Of the colours, 0 to 1.
    """
    colors = np.asarray(colors, np.uint8)
    # In 256ths, so that large photos need no floating-point copy.
    weights = np.where(colors.any(axis=1), round(256 * opacity), 0).astype(np.uint16)
    weight = weights[labels][..., np.newaxis]
    return ((image * (256 - weight) + colors[labels] * weight + 128) >> 8).astype(np.uint8)


def legend(rows) -> Image.Image:
    """Returns a picture that says which colour is which class.

    Args:
      rows: (text, (red, green, blue)) of each class.
    """
    font = _font()
    draw = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    columns = [rows[at : at + _ROWS_PER_COLUMN] for at in range(0, len(rows), _ROWS_PER_COLUMN)]
    text_width = max(draw.textbbox((0, 0), _drawable(text, font), font)[2] for text, _ in rows)
    column_width = _SWATCH[0] + text_width + 3 * _MARGIN
    height = len(columns[0]) * _ROW + 2 * _MARGIN
    picture = Image.new("RGB", (len(columns) * column_width, height), "white")
    draw = ImageDraw.Draw(picture)
    for number, column in enumerate(columns):
        for line, (text, color) in enumerate(column):
            left, top = number * column_width + _MARGIN, _MARGIN + line * _ROW
            middle = top + _ROW // 2
            swatch = (left, middle - _SWATCH[1] // 2, left + _SWATCH[0], middle + _SWATCH[1] // 2)
            draw.rectangle(swatch, tuple(color), "grey")
            text = _drawable(text, font)
            box = draw.textbbox((0, 0), text, font)
            place = (left + _SWATCH[0] + _MARGIN, middle - (box[1] + box[3]) // 2)
            draw.text(place, text, "black", font)
    return picture


def _font():
    try:
        return ImageFont.load_default(_FONT_SIZE)
    except TypeError:
        # Before Pillow 10.1 there is one size, and Latin letters only.
        return ImageFont.load_default()


def _drawable(text: str, font) -> str:
    if isinstance(font, ImageFont.FreeTypeFont):
        return text
    return text.encode("latin-1", "replace").decode("latin-1")


def _fitting_size(shape, longest_side):
    """Returns (width, height) of at most the longest side, never enlarged."""
    factor = min(1.0, longest_side / max(shape))
    height, width = (max(1, int(side * factor + 0.5)) for side in shape)
    return width, height


def _shrunk_ids(ids, size):
    return np.asarray(Image.fromarray(np.asarray(ids).astype(np.uint8)).resize(size, Image.NEAREST))


def _blend(image, color, opacity=_OPACITY):
    return image * (1.0 - opacity) + color * opacity


def _jpeg(pixels) -> bytes:
    buffer = io.BytesIO()
    picture = Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))
    # Without chroma subsampling: thin coloured objects would fade.
    picture.save(buffer, "JPEG", quality=_JPEG_QUALITY, subsampling=0, optimize=True)
    return buffer.getvalue()
