"""Colours become labels by one table."""

import numpy as np

from utils.imaging import colors


def test_a_packed_colour_is_unpacked():
    packed = colors.pack(np.array([[1, 2, 3], [255, 0, 254]], np.uint8))
    assert [colors.unpack(value) for value in packed] == [(1, 2, 3), (255, 0, 254)]


def test_each_colour_has_its_label_and_the_others_none():
    table = colors.table({(0, 0, 0): 4, (255, 255, 255): 255, (1, 2, 3): 0})
    pixels = np.array([[[1, 2, 3], [3, 2, 1]], [[0, 0, 0], [255, 255, 255]]], np.uint8)
    np.testing.assert_array_equal(table[colors.pack(pixels)], [[0, -1], [4, 255]])
