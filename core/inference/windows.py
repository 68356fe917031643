"""Sliding windows over large images: their places, and how their results are blended.

A network gets windows of one size only, whatever the size of the image, so that a device compiles
one graph and memory is bounded.

Along each side the windows are spread evenly from edge to edge; neighbours overlap by at least the
wanted share. Where windows overlap, the probabilities of a pixel are a weighted mean. The weight of
a window is the product of one weight along its height and one along its width. Each rises linearly
from the edge of the window over the width of the overlap, and is 1 further inside: a pixel near an
edge, with little context, counts less than the same pixel further inside the next window, and no
seam is left. The weighted sum is divided by the sum of the weights, so probabilities still sum to
one.

A grid cuts every image, whatever its size, into the same number of cells instead.
"""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np

from options.config import Config
from options.data import AUTO
from utils import image_ops
from utils.errors import OptionError


@dataclasses.dataclass(frozen=True)
class Windows:
    """How large images are cut.

    Attributes:
      size: (height, width) of a window.
      overlap: Share of a window's side by which neighbours overlap at least, 0 to 0.9.
      max_pixels: Images with more pixels are cut, others are predicted whole; None: the pixels of
        one window.
    """

    size: tuple
    overlap: float = 0.25
    max_pixels: int | None = None

    def needed_for(self, height: int, width: int) -> bool:
        """Whether an image of this size is cut."""
        limit = self.size[0] * self.size[1] if self.max_pixels is None else self.max_pixels
        return height * width > limit

    def describe(self) -> dict:
        """Returns the entries of settings, plain values for JSON."""
        return {
            "window_size": list(self.size),
            "window_overlap": self.overlap,
            "max_pixels": self.max_pixels or self.size[0] * self.size[1],
        }


@dataclasses.dataclass(frozen=True)
class Grid:
    """Every image is cut into rows and columns of cells, each predicted as an image of its own.

    Attributes:
      cells: How many along each side.
    """

    cells: int

    def needed_for(self, unused_height: int, unused_width: int) -> bool:
        """Whether an image of this size is cut: always."""
        return True

    def describe(self) -> dict:
        """Returns the entries of settings, plain values for JSON."""
        return {"window_grid": self.cells}


def of(config: Config) -> Windows | Grid | None:
    """Returns how the options cut large images, None if they do not.

    The default window size is the training crop.

    Raises:
      OptionError: If `--eval_crop_size` was given too, which pads images.
    """
    options = config.records.get("windows")
    if options is None or not options.cuts:
        return None
    if "eval_crop_size" in config.given and config.input.eval_size is not None:
        raise OptionError(
            "--window_size, --max_pixels and --window_grid cut images at their own size; pass "
            "--eval_crop_size=auto with them, or leave it out."
        )
    if options.window_grid is not None:
        return Grid(options.window_grid)
    size = options.window_size or config.input.train_crop_size
    return Windows(tuple(size), options.window_overlap, options.max_pixels)


def with_whole_images(config: Config) -> Config:
    """Returns the options with images at their own size where they are cut into windows."""
    if of(config) is None:
        return config
    return config.with_values({"eval_crop_size": (AUTO,)}, config.origin("eval_crop_size"))


def offsets(length: int, window: int, overlap: float) -> list:
    """Returns where windows begin along a side, from 0 to its end, evenly spread.

    Args:
      length: The side in pixels.
      window: The window's side in pixels.
      overlap: Share of the window's side by which neighbours overlap at least.
    """
    if length <= window:
        return [0]
    step = max(1, window - int(np.ceil(overlap * window)))
    number = 1 + -(-(length - window) // step)
    return [round(index * (length - window) / (number - 1)) for index in range(number)]


def side_weights(window: int, overlap: float) -> np.ndarray:
    """Returns the weight of each place along a window's side, float32 [window], in (0, 1]."""
    width = max(1.0, overlap * window)
    place = np.arange(window, dtype=np.float32) + 0.5
    return np.minimum(1.0, np.minimum(place, window - place) / width)


def blended_rows(image, windows: Windows, pad_color, run):
    """Runs a network over the windows of an image and yields the result from top to bottom.

    Rows are yielded as soon as no further window covers them, so memory grows with the width of an
    image and not with its height.

    Args:
      image: [h, w, 3], 0..255.
      windows: Size and overlap.
      pad_color: (red, green, blue) beside an image that is smaller than a window.
      run: Called with float32 [n, window height, window width, 3], the windows of one row; returns
        float32 [n, window height, window width, channels].

    Yields:
      float32 [rows, w, channels].
    """
    height, width = image.shape[:2]
    tops = offsets(height, windows.size[0], windows.overlap)
    lefts = offsets(width, windows.size[1], windows.overlap)
    weights = (
        side_weights(windows.size[0], windows.overlap)[:, np.newaxis]
        * side_weights(windows.size[1], windows.overlap)[np.newaxis, :]
    )[..., np.newaxis]
    total = sums = None
    first = 0
    for number, top in enumerate(tops):
        results = run(_row_of_windows(image, windows.size, top, lefts, pad_color))
        rows = min(windows.size[0], height - top)
        if total is None:
            total = np.zeros([rows, width, results.shape[-1]], np.float32)
            sums = np.zeros([rows, width, 1], np.float32)
        else:
            missing = [(0, top + rows - first - len(total)), (0, 0), (0, 0)]
            total, sums = np.pad(total, missing, "constant"), np.pad(sums, missing, "constant")
        for left, result in zip(lefts, results):
            columns = min(windows.size[1], width - left)
            place = slice(top - first, top - first + rows), slice(left, left + columns)
            total[place] += result[:rows, :columns] * weights[:rows, :columns]
            sums[place] += weights[:rows, :columns]
        done = (tops[number + 1] if number + 1 < len(tops) else height) - first
        yield total[:done] / sums[:done]
        total, sums, first = total[done:], sums[done:], first + done


def cells_of(length: int, number: int) -> list:
    """Returns the slices of a side that is cut into so many cells, none of them empty.

    A cell begins at round(i length / number) and has round(length / number) pixels, as in the Keras
    pipeline, and more where it would end before the next begins; neighbours overlap by a pixel
    where the number does not divide the side.
    """
    number = min(number, length)
    starts = [round(index * length / number) for index in range(number + 1)]
    size = round(length / number)
    return [
        slice(start, min(length, max(start + size, following)))
        for start, following in zip(starts, starts[1:])
    ]


def stitched(image, grid: Grid, run) -> np.ndarray:
    """Returns the result of a network over the cells of an image, [h, w, channels].

    Where cells overlap their probabilities are averaged; the original adds them, so that these
    pixels count twice.

    Args:
      image: [h, w, 3], 0..255.
      grid: The cells.
      run: Called with a cell, [cell height, cell width, 3]; returns float32 [cell height, cell
        width, channels].
    """
    height, width = image.shape[:2]
    rows, columns = (cells_of(side, grid.cells) for side in (height, width))
    total, counts = 0.0, np.zeros([height, width, 1], np.float32)
    for place in itertools.product(rows, columns):
        result = run(image[place])
        if not np.ndim(total):
            total = np.zeros([height, width, result.shape[-1]], np.float32)
        total[place] += result
        counts[place] += 1
    return total / counts


def _row_of_windows(image, size, top, lefts, pad_color):
    """Returns float32 [n, height, width, 3], padded at the bottom and right if needed."""
    parts = [image[top : top + size[0], left : left + size[1]] for left in lefts]
    return np.stack([image_ops.pad_array(part, size, pad_color) for part in parts])
