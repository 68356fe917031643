"""Thumbnails of a segmented image: image, truth, prediction and errors.

Arrays in, encoded bytes out, so that an evaluation can keep many images in memory.
"""

from __future__ import annotations

import dataclasses
import io

import numpy as np
from PIL import Image

from utils.colormap import colorize

# Opacity of class colours over an image.
_OPACITY = 0.65
# Yellow: brighter than every grey of the error view and than the first class, which colour-blind
# readers see too.
_WRONG = (255, 220, 0)
# Stripes over labels that are not a class.
_NO_CLASS = (235, 40, 70)
# Of labels [h, w, classes].
_IGNORED = 255
_JPEG_QUALITY = 86
# Width in pixels of the stripes over labels that are not a class.
_STRIPE = 6


@dataclasses.dataclass(frozen=True)
class Panels:
    """Four views of one image as JPEG files of the same size.

    Attributes:
      image: The image.
      truth: Class colours of the labels over the image; ignored pixels are bleached.
      prediction: Class colours of the predictions over the image.
      error: The image in dark grey with the wrong pixels in yellow; ignored pixels are bleached.
    """

    image: bytes
    truth: bytes
    prediction: bytes
    error: bytes


def shrunk(image, labels, predictions, *, longest_side: int) -> tuple:
    """Returns copies of an image and its ids shrunk to a size, never enlarged.

    Args:
      image: uint8 [h, w, 3].
      labels: Integers [h, w], or [h, w, classes].
      predictions: Integers of the same shape.
      longest_side: The most pixels of the longer side.
    """
    size = _fitting_size(image.shape[:2], longest_side)
    small = Image.fromarray(np.ascontiguousarray(image)).resize(size, Image.BILINEAR)
    return np.array(small), _shrunk_ids(labels, size), _shrunk_ids(predictions, size)


def panels(image, labels, predictions, *, colors, ignore_label: int) -> Panels:
    """Draws the four views of an image.

    Args:
      image: uint8 [h, w, 3].
      labels: Integers: [h, w] of class ids or ignore_label, or [h, w, classes] of 0, 1 or 255
        (ignored) where a pixel may have several classes.
      predictions: Integers of the same shape.
      colors: (red, green, blue) by class id.
      ignore_label: Label of pixels that do not count.
    """
    image = np.asarray(image, np.float32)
    if labels.ndim == 3:
        ignored = np.all(labels == _IGNORED, axis=2)
        wrong = np.any((labels != predictions) & (labels != _IGNORED), axis=2)
    else:
        ignored = labels == ignore_label
        wrong = (labels != predictions) & ~ignored
    truth = _blend(image, _painted(image, labels, colors))
    truth[ignored] = _blend(image, 255.0)[ignored]
    grey = np.repeat(image.mean(axis=2, keepdims=True), 3, axis=2) * 0.45
    error = np.where(ignored[..., np.newaxis], _blend(grey, 255.0), grey)
    error[wrong] = _blend(grey, np.asarray(_WRONG, np.float32), 0.9)[wrong]
    views = (image, truth, _blend(image, _painted(image, predictions, colors)), error)
    return Panels(*(_jpeg(view) for view in views))


def _painted(image, labels, colors):
    """Returns the colours of the classes; where a pixel has none of several, that of the image."""
    if labels.ndim == 3:
        return np.where(np.any(labels == 1, axis=2)[..., None], colorize(labels, colors), image)
    palette = np.zeros([max(256, len(colors)), 3], np.float32)
    palette[: len(colors)] = colors
    return palette[labels]


def overlay(image, labels, *, colors, ignore_label: int, longest_side: int) -> tuple:
    """Draws an image and its labels.

    Args:
      image: uint8 [h, w, 3].
      labels: Integers: [h, w], where values that are not a class get red and white stripes; or
        [h, w, classes] of 0, 1 or 255 (ignored) where a pixel may have several classes.
      colors: (red, green, blue) by class id.
      ignore_label: Label of pixels that do not count; they are bleached.
      longest_side: Both views are shrunk to at most this many pixels.

    Returns:
      JPEG files of the image, and of the image with the colours of its labels.
    """
    size = _fitting_size(image.shape[:2], longest_side)
    image = np.asarray(Image.fromarray(image).resize(size, Image.BILINEAR), np.float32)
    if np.ndim(labels) == 3:
        return _jpeg(image), _jpeg(_overlay_of_sets(image, labels, colors))
    # The last two are for ignored pixels, and for values that are not a class.
    palette = np.array([*colors, (255, 255, 255), _NO_CLASS], np.float32)
    labels = np.asarray(labels)
    classes = len(colors)
    known = (labels >= 0) & (labels < classes)
    ids = np.where(known, labels, classes + 1)
    ids = np.where(labels == ignore_label, classes, ids)
    ids = np.array(Image.fromarray(ids.astype(np.int32)).resize(size, Image.NEAREST))
    rows, columns = np.indices(ids.shape)
    stripes = (rows + columns) // _STRIPE % 2 == 1
    ids[(ids == classes + 1) & stripes] = classes
    return _jpeg(image), _jpeg(_blend(image, palette[ids]))


def _overlay_of_sets(image, labels, colors):
    """Returns an image with the colours of its labels [h, w, classes], of any size."""
    rows, columns = (
        np.linspace(0, old - 1, new).round().astype(int)
        for old, new in zip(labels.shape[:2], image.shape[:2])
    )
    labels = labels[rows][:, columns]
    view = _blend(image, _painted(image, labels, colors))
    ignored = np.all(labels == _IGNORED, axis=2)
    view[ignored] = _blend(image, 255.0)[ignored]
    return view


def _fitting_size(shape, longest_side):
    """Returns (width, height) shrunk to at most the longest side, never enlarged."""
    factor = min(1.0, longest_side / max(shape))
    height, width = (max(1, int(side * factor + 0.5)) for side in shape)
    return width, height


def _shrunk_ids(ids, size):
    """Returns int32 [height, width], the id in the middle of each new pixel."""
    ids = np.asarray(ids)
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(np.int64)
        for new, old in zip(size[::-1], ids.shape)
    )
    return ids[rows[:, np.newaxis], columns].astype(np.int32)


def _blend(image, color, opacity=_OPACITY):
    return image * (1.0 - opacity) + color * opacity


def _jpeg(pixels) -> bytes:
    buffer = io.BytesIO()
    picture = Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))
    # Without chroma subsampling, which would fade thin coloured objects. Without `optimize`, with
    # which Pillow fails on noise: the file exceeds its buffer (a byte per pixel).
    picture.save(buffer, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()
