"""Class colours over photos at full size, and their legend."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from utils.colormap import colorize

# Of a legend, in pixels.
_ROW, _SWATCH, _MARGIN, _FONT_SIZE = 30, (36, 20), 12, 16
_ROWS_PER_COLUMN = 32
# An edge in an overlay is one pixel wide per this many pixels of the longer side.
_SIDE_OF_EDGE = 600


def overlay(image, labels, colors, opacity: float = 0.55) -> np.ndarray:
    """Returns class colours over an image, at its size: uint8 [h, w, 3].

    A class whose colour is black, such as VOC's background, leaves the image as it is: black would
    only hide it. Where a coloured class meets another one, its edge has the full colour: on skin,
    grass or sky a light tint alone is hard to see.

    Args:
      image: uint8 [h, w, 3].
      labels: Integers: [h, w] of class ids, or [h, w, classes] of 0 and 1, where a pixel gets the
        mean colour of its classes.
      colors: (red, green, blue) by class id.
      opacity: Of the colours, 0 to 1.
    """
    colors = np.asarray(colors, np.uint8)
    painted = colorize(labels, colors)
    # In 256ths, so that large photos need no floating-point copy.
    weights = np.where(colors.any(axis=1), round(256 * opacity), 0).astype(np.uint16)
    if labels.ndim == 3:
        weight = (labels == 1) @ (weights > 0) * np.uint16(round(256 * opacity))
        edges = np.any([_edges(labels[..., label]) for label in range(len(colors))], axis=0)
    else:
        weight, edges = weights[labels], _edges(labels)
    weight[edges & (weight > 0)] = 256
    weight = weight[..., np.newaxis]
    return ((image * (256 - weight) + painted * weight + 128) >> 8).astype(np.uint8)


def _edges(labels) -> np.ndarray:
    """Returns the pixels beside another class, bool [h, w]; edges are wider in larger images."""
    found = np.zeros(labels.shape, bool)
    for distance in range(1, max(1, round(max(labels.shape) / _SIDE_OF_EDGE)) + 1):
        down = labels[distance:] != labels[:-distance]
        across = labels[:, distance:] != labels[:, :-distance]
        found[distance:] |= down
        found[:-distance] |= down
        found[:, distance:] |= across
        found[:, :-distance] |= across
    return found


def legend(rows) -> Image.Image:
    """Returns a picture of the colours of classes with their names.

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
        # Before Pillow 10.1 there is only one size, with Latin letters only.
        return ImageFont.load_default()


def _drawable(text: str, font) -> str:
    if isinstance(font, ImageFont.FreeTypeFont):
        return text
    return text.encode("latin-1", "replace").decode("latin-1")
