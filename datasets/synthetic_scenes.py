"""Draws scenes of textured shapes, with their masks."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

# Increased whenever the same seed gives other scenes.
VERSION = 2

# Mask value of the border around each object.
BORDER = 255
_BORDER_PIXELS = 2.0

# Sides of a scene, in pixels.
_SMALLEST, _LARGEST = 112, 129


def draw(
    random: np.random.RandomState, difficulty: float, size: tuple | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Draws a scene.

    Args:
      random: The source of all randomness.
      difficulty: 0 (easy) to 1 (hard).
      size: Height and width; random if None.

    Returns:
      The image, uint8 [h, w, 3], and its mask, uint8 [h, w]: 0 is the background, 1 to
      len(CLASS_NAMES) - 1 are objects, BORDER is ignored.
    """
    height, width = size or random.randint(_SMALLEST, _LARGEST + 1, size=2)
    grid = np.mgrid[:height, :width].astype(np.float32)
    image = _ground(random, grid)
    mask = np.zeros([height, width], np.uint8)
    for _ in range(random.randint(1, 4 + round(2 * difficulty))):
        _draw_object(random, difficulty, grid, image, mask)
    image *= _light(random, grid)[..., np.newaxis]
    image += random.normal(0, 0.01 + 0.04 * difficulty, image.shape)
    return (np.clip(image, 0, 1) * 255).astype(np.uint8), mask


def _ground(random, grid) -> np.ndarray:
    """Returns soft blotches of a few colours with stray strokes, float32 [h, w, 3] in 0..1."""
    shape = grid.shape[1:]
    image = np.broadcast_to(_color(random), [*shape, 3]).astype(np.float32)
    for cells in (3, 6, 24):
        share = _blotches(random, shape, cells)[..., np.newaxis] * 0.6
        image = image * (1 - share) + _color(random) * share
    for _ in range(random.randint(3, 9)):
        distance = np.abs(_turned(random, grid, _place(random, shape))[0])
        stroke = np.clip(random.uniform(0.5, 2.0) - distance, 0, 1)[..., np.newaxis] * 0.7
        image = image * (1 - stroke) + _color(random) * stroke
    return image


def _blotches(random, shape, cells: int) -> np.ndarray:
    """Returns smooth noise in 0..1 with about `cells` blotches along a side."""
    coarse = (random.uniform(0, 1, [cells, cells]) * 255).astype(np.uint8)
    size = (shape[1], shape[0])
    return np.asarray(Image.fromarray(coarse).resize(size, Image.BICUBIC), np.float32) / 255


def _light(random, grid) -> np.ndarray:
    """Returns the brightness of a scene, which falls off in a random direction, [h, w]."""
    along = _turned(random, grid, _place(random, grid.shape[1:]))[0] / max(grid.shape[1:])
    return np.clip(1 + random.uniform(0.2, 0.8) * along, 0.45, 1.3)


def _draw_object(random, difficulty, grid, image, mask):
    """Draws one object over the scene, in place."""
    label = random.randint(1, len(CLASS_NAMES))
    outline, pattern = _CLASSES[CLASS_NAMES[label]]
    radius = random.uniform(34 - 16 * difficulty, 46)
    along, across = _turned(random, grid, _place(random, mask.shape))
    # The outline is stretched and slanted; the pattern is not.
    stretch = random.uniform(0.8, 1.0)
    slant = random.uniform(-0.2, 0.2)
    distance = outline((along + slant * across) / radius, across / (radius * stretch)) * radius
    distance *= 0.9
    tint = _tint(label) * (0.2 - 0.2 * difficulty)
    colors = _pair_of_colors(random, 0.8 - 0.4 * difficulty, tint)
    tone = pattern(random, along, across)[..., np.newaxis]
    filled = colors[0] * (1 - tone) + colors[1] * tone
    filled *= _light(random, grid)[..., np.newaxis]
    cover = np.clip(0.5 - distance, 0, 1)[..., np.newaxis]
    image[:] = image * (1 - cover) + filled * cover
    mask[distance < _BORDER_PIXELS] = BORDER
    mask[distance < -_BORDER_PIXELS] = label


def _place(random, shape) -> np.ndarray:
    return random.uniform(0.1, 0.9, 2) * shape


def _turned(random, grid, centre) -> tuple[np.ndarray, np.ndarray]:
    """Returns coordinates in pixels from a centre along two random directions, each [h, w]."""
    angle = random.uniform(0, 2 * math.pi)
    y, x = grid[0] - np.float32(centre[0]), grid[1] - np.float32(centre[1])
    cosine, sine = np.float32(math.cos(angle)), np.float32(math.sin(angle))
    return x * cosine + y * sine, y * cosine - x * sine


def _color(random) -> np.ndarray:
    return random.uniform(0.1, 0.95, 3).astype(np.float32)


def _tint(label: int) -> np.ndarray:
    """Returns the direction in colour space of a class's mean tint, [3], length 1.

    Objects of one class vary around it as much as the classes differ, so that colour helps but does
    not decide.
    """
    angle = 2 * math.pi * label / (len(CLASS_NAMES) - 1)
    one, other = np.array([2, -1, -1]) / math.sqrt(6), np.array([0, 1, -1]) / math.sqrt(2)
    return math.cos(angle) * one + math.sin(angle) * other


def _pair_of_colors(random, contrast: float, tint) -> tuple[np.ndarray, np.ndarray]:
    """Returns two random colours that differ by `contrast` (length of the difference)."""
    middle = random.uniform(0.3, 0.7, 3) + tint
    direction = random.normal(size=3)
    half = direction / np.linalg.norm(direction) * contrast / 2
    return (middle - half).astype(np.float32), (middle + half).astype(np.float32)


# Outlines: from coordinates [h, w] in units of the radius to the approximate distance from the
# edge in that unit, negative inside.


def _disc(x, y):
    return np.hypot(x, y) - 0.85


def _ring(x, y):
    return np.abs(np.hypot(x, y) - 0.7) - 0.27


def _box(x, y, half_width=0.85, half_height=0.65):
    return np.maximum(np.abs(x) - half_width, np.abs(y) - half_height)


def _cross(x, y):
    return np.minimum(_box(x, y, 1.0, 0.32), _box(x, y, 0.32, 1.0))


def _triangle(x, y):
    sides = [math.pi / 3 * side for side in (0.5, 2.5, 4.5)]
    return np.max([x * math.cos(side) + y * math.sin(side) for side in sides], axis=0) - 0.55


def _star(x, y):
    around = np.arctan2(y, x) * 5 / (2 * math.pi)
    # 0 at the tips, 1 between them.
    between = np.abs(around - np.round(around)) * 2
    return (np.hypot(x, y) - (1.1 - 0.6 * between)) * 0.7


# Patterns: from a random state and coordinates [h, w] in pixels to tones 0..1.


def _wave(positions, period):
    return 0.5 + 0.5 * np.tanh(3 * np.sin(positions * np.float32(2 * math.pi / period)))


def _stripes(random, along, across):
    return _wave(along, random.uniform(9, 14))


def _checks(random, along, across):
    period = random.uniform(13, 19)
    one, other = _wave(along, period), _wave(across, period)
    return one * other + (1 - one) * (1 - other)


def _dots(random, along, across):
    scale = np.float32(2 * math.pi / random.uniform(10, 15))
    return np.clip(2.5 * (np.cos(along * scale) + np.cos(across * scale)) - 0.5, 0, 1)


def _net(random, along, across):
    scale = np.float32(math.pi / random.uniform(9, 13))
    nearest = np.maximum(np.abs(np.cos(along * scale)), np.abs(np.cos(across * scale)))
    return np.clip(8 * (nearest - 0.85), 0, 1)


def _ripples(random, along, across):
    return _wave(np.hypot(along, across), random.uniform(9, 14))


def _grain(random, along, across):
    shape = along.shape
    coarse = (random.uniform(0, 1, [side // 4 for side in shape]) > 0.5).astype(np.uint8) * 255
    size = (shape[1], shape[0])
    return np.asarray(Image.fromarray(coarse).resize(size, Image.BILINEAR), np.float32) / 255


# Some pairs are hard to tell apart: stripes of discs and rings, crossing lines of boxes and stars.
_CLASSES = {
    "disc": (_disc, _stripes),
    "box": (_box, _checks),
    "triangle": (_triangle, _dots),
    "star": (_star, _net),
    "ring": (_ring, _ripples),
    "cross": (_cross, _grain),
}

CLASS_NAMES = ("background", *_CLASSES)
