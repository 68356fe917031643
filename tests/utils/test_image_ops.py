"""Sizes that images are resized to."""

import numpy as np
import pytest
from PIL import Image

from tests.small_data import pixels
from utils import image_ops


def test_the_largest_size_is_lowered_to_where_corners_are_aligned():
    # 520 becomes 513 = 32 * 16 + 1: 503 * 513 / 1000 is 258, and 273 the next such height. 512
    # would give 257, and 520 a width of 529.
    sides = np.float32([503]), np.float32([1000])
    found = image_ops.size_in_range(*sides, min_size=513, max_size=520, factor=16, math=np)
    assert [side.tolist() for side in found] == [[273], [513]]


@pytest.mark.parametrize(
    ("size", "crop", "expected"),
    [
        ((375, 500), (513, 513), (375, 500)),
        ((480, 640), (513, 513), (385, 513)),
        ((4000, 3000), (361, 481), (361, 271)),
        ((1, 4000), (513, 513), (1, 513)),
    ],
)
def test_a_photo_is_shrunk_until_it_fits_and_never_enlarged(size, crop, expected):
    assert image_ops.fitting_size(size, crop) == expected


def test_a_photo_is_shrunk_by_averaging():
    image = pixels(0, 40, 60)
    expected = Image.fromarray(image).resize((30, 20), Image.BILINEAR)
    np.testing.assert_array_equal(image_ops.shrink(image, (20, 30)), expected)


def test_an_image_of_the_right_size_is_not_copied():
    image = pixels(0, 5, 6)
    assert image_ops.shrink(image, (5, 6)) is image


def test_an_array_is_padded_at_the_bottom_and_right():
    image = pixels(0, 2, 3)
    padded = image_ops.pad_array(image, (3, 5), (1, 2, 3))
    assert padded.dtype == np.float32
    np.testing.assert_array_equal(padded[:2, :3], image)
    np.testing.assert_array_equal(padded[2:], [[[1, 2, 3]] * 5])
    np.testing.assert_array_equal(padded[:, 3:], [[[1, 2, 3]] * 2] * 3)
