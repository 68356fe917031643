"""Sizes that images are resized to."""

import numpy as np

from utils import image_ops


def test_the_largest_size_is_lowered_to_where_corners_are_aligned():
    # 520 becomes 513 = 32 * 16 + 1: 503 * 513 / 1000 is 258, and 273 the next such height. 512
    # would give 257, and 520 a width of 529.
    sides = np.float32([503]), np.float32([1000])
    found = image_ops.size_in_range(*sides, min_size=513, max_size=520, factor=16, math=np)
    assert [side.tolist() for side in found] == [[273], [513]]
